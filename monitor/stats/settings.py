"""The settings of estimates and of the sequential tests."""

import re
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, field_validator

from monitor.clock import Duration


class StatisticsSettings(BaseModel):
    """How verdicts become estimates, and when a fall of a pass rate is more than chance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window: Duration = Field(
        default=timedelta(hours=24),
        ge=timedelta(minutes=1),
        description="Stretch of event time behind the pass rates; the one before is shown until this has 50 verdicts.",
    )
    block: Duration = Field(
        default=timedelta(minutes=1),
        ge=timedelta(seconds=1),
        description="Event time that is closed at once: no series looks at less.",
    )
    close_after: Duration = Field(
        default=timedelta(minutes=2),
        ge=timedelta(0),
        description="How late a block closes; a verdict that comes later joins the oldest block that is open.",
    )
    unit_block: Duration = Field(
        default=timedelta(hours=1), ge=timedelta(minutes=1), description="Event time of one bet with `unit: block`."
    )
    reference_verdicts: int = Field(
        default=1000,
        ge=300,
        description="Verdicts from which a reference is learnt, of at least 30 bets; fewer than 300 teach too little.",
    )
    tolerance: float = Field(
        default=0.01, ge=0, lt=1, description="What a learnt reference is lowered by beyond its own uncertainty."
    )
    smallest_drop: float = Field(
        default=0.025, gt=0, lt=1, description="The smallest fall worth a page: a regression is over above half of it."
    )
    segment_values: int = Field(
        default=20, ge=1, le=1000, description="Values of one segment key with a series; the quietest makes room."
    )
    segment_idle: Duration = Field(
        default=timedelta(hours=24), description="A value without verdicts for this long has no series any more."
    )
    expected: tuple[str, ...] = Field(
        default=(), description="Segments, written key=value, whose silence is told like that of `all`."
    )
    mix_adjustment: str | None = Field(
        default=None,
        description="A segment key: each of its values is held against a reference of its own, so that a change of "
        "their shares alone is no regression of `all`. It changes nothing for a scorer that is held to a `target`: "
        "that holds for all traffic, whatever it is made of.",
    )

    @field_validator("expected")
    @classmethod
    def _are_segments(cls, expected: tuple[str, ...]) -> tuple[str, ...]:
        for each in expected:
            if not re.fullmatch(r"[^=]+=.+", each):
                raise ValueError(f"{each!r} is no segment: key=value is allowed, such as app_version=v1")
        return expected


class SessionSettings(BaseModel):
    """When a session is over."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quiet: Duration = Field(
        default=timedelta(minutes=30), ge=timedelta(seconds=1), description="A session without verdicts this long."
    )
    longest: Duration = Field(
        default=timedelta(hours=6),
        ge=timedelta(minutes=1),
        description="A session that never rests is cut after this long, so that what it says is not waited for.",
    )
