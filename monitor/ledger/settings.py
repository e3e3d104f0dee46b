"""Where the ledger lives."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from monitor.clock import Duration


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
