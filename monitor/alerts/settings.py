"""The settings of alerts."""

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.clock import Duration

Severity = Literal["page", "ticket", "none"]


class AlertSettings(BaseModel):
    """When people are told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["deliver", "observe"] = Field(
        "deliver", description="`observe` computes and shows everything and delivers nothing."
    )
    false_alarm_every: Duration = Field(
        timedelta(days=30),
        ge=timedelta(hours=1),
        description="One false alarm in this time is what all sequential tests of the daemon together may cost.",
    )
    max_age: Duration = Field(
        timedelta(hours=1), description="Verdicts older than this page nobody: their time is over."
    )
    dead_letter_share: float = Field(
        0.01, gt=0, le=1, description="Share of dead letters among the events received that is told."
    )
    dead_letter_window: Duration = Field(
        timedelta(minutes=15), ge=timedelta(minutes=1), description="The stretch of time that this share is taken over."
    )
    min_verdicts: int = Field(20, ge=1, description="With fewer verdicts a day a series is unknown.")
    unknown_after: Duration = Field(
        timedelta(hours=1),
        description="A series that is silent for this long, and by its pace should not be, is unknown.",
    )
    consumer_lag: int = Field(
        10_000, ge=1, description="Events that the stream may be ahead for ten minutes before it is told."
    )
    dataset_stale_after: Duration = Field(
        timedelta(days=7), description="The dataset is stale when nothing new has come into it for this long."
    )
    failing_share: float = Field(
        0.5, gt=0, le=1, description="Share of error verdicts in the last hour from which a scorer counts as failing."
    )
