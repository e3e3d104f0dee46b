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

    @property
    def pagers(self) -> tuple[str, ...]:
        """The receivers on whom pages about quality rest: while one of them fails Prometheus's rules tell in its place.

        Those rules tell through Alertmanager. Where the daemon tells one itself it alone counts: a second word there
        while another receiver fails would be a second page of the same regression.
        """
        pagers = [each for each in self.told if each.takes("production_regression", "page")]
        alertmanagers = [each for each in pagers if each.kind == "alertmanager"]
        return tuple(each.name for each in alertmanagers or pagers)
