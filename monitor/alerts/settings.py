"""The settings of alerts."""

from collections import Counter
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from monitor.alerts.kinds import AlertKind, Severity
from monitor.alerts.receivers import LinkSettings, ReceiverSettings
from monitor.clock import Duration

__all__ = ["AlertSettings", "Severity"]


class AlertSettings(BaseModel):
    """When people are told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["deliver", "observe"] = Field(
        "deliver", description="`observe` computes and shows everything and delivers nothing."
    )
    severity: dict[AlertKind, Severity] = Field(
        default_factory=dict,
        description="Kind of alert -> what it is worth at most; a scorer's own `severity` may make it less.",
    )
    receivers: tuple[ReceiverSettings, ...] = Field(default=(), description="Who is told of alerts, and how.")
    links: LinkSettings = Field(default_factory=LinkSettings, description="Where the links in alerts lead.")
    false_alarm_every: Duration = Field(
        timedelta(days=30),
        description="The bound on false alarms of the whole daemon, for sequential tests; a target is none.",
    )
    max_age: Duration = Field(
        timedelta(hours=1), description="Verdicts older than this page nobody: their time is over."
    )
    pass_rate_window: Duration = Field(
        timedelta(hours=1), description="The stretch of event time whose pass rate is held against a scorer's target."
    )
    pass_rate_for: Duration = Field(
        timedelta(minutes=5), description="How long a pass rate stays below its target before the alert fires."
    )
    dead_letter_share: float = Field(
        0.01, gt=0, le=1, description="Share of dead letters among the events received that is told."
    )
    dead_letter_window: Duration = Field(
        timedelta(minutes=15), ge=timedelta(minutes=1), description="The stretch of time that this share is taken over."
    )
    min_verdicts: int = Field(20, ge=1, description="Fewer verdicts than this in the window decide nothing.")

    @field_validator("receivers")
    @classmethod
    def _receivers_differ(cls, receivers: tuple[ReceiverSettings, ...]) -> tuple[ReceiverSettings, ...]:
        names = Counter(each.name for each in receivers)
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"every receiver needs a name of its own; given twice: {', '.join(twice)}")
        return receivers

    @property
    def told(self) -> tuple[ReceiverSettings, ...]:
        """The receivers that are told now: nobody while alerts are only observed."""
        return () if self.mode == "observe" else self.receivers
