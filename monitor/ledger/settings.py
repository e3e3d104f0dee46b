"""Where the ledger lives, and how long it keeps what."""

from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from monitor.clock import Duration

MigrationMode = Literal["auto", "manual"]
_SHORTEST = timedelta(days=1)


class LedgerSettings(BaseModel):
    """The `ledger:` part of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: SecretStr = Field(
        default=SecretStr("sqlite:///tracewatch.db"),
        description="The ledger's database: sqlite:///FILE for one process, postgresql://USER:PASSWORD@HOST/NAME for "
        "replicas.",
    )
    lease_ttl: Duration = Field(
        default=timedelta(seconds=30),
        description="How long the lease outlives its holder's last renewal, and so how long until another replica "
        "takes over.",
    )
    migrate: MigrationMode = Field(
        default="auto",
        description="Whether the daemon brings the schema to the newest revision when it starts; `manual` leaves it to "
        "`tracewatch migrate`.",
    )


class RetentionSettings(BaseModel):
    """The `retention:` part of the configuration. What is still owed is kept for as long as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    traces: Duration = Field(
        default=timedelta(days=90),
        ge=_SHORTEST,
        description="How long a trace with its decisions is kept, from its event time on. Keep it longer than the "
        "topic keeps its messages: an event that is read again later would be judged again.",
    )
    verdicts: Duration = Field(
        default=timedelta(days=90),
        ge=_SHORTEST,
        description="How long a verdict is kept, from the event time on, for statistics and backtests.",
    )
    alerts: Duration = Field(
        default=timedelta(days=400), ge=_SHORTEST, description="How long an alert is kept after it is resolved."
    )
    evaluations: Duration = Field(
        default=timedelta(days=400),
        ge=_SHORTEST,
        description="How long evaluations with their rows and comparisons, spend and reports of jobs are kept; the "
        "latest comparison of each candidate stays.",
    )
    counters: Duration = Field(
        default=timedelta(days=35), ge=_SHORTEST, description="How long the minutes of the judge budget are kept."
    )
