"""Settings of parts that are single modules; packages keep theirs beside their own code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from monitor.rate import Rate


class MlflowSettings(BaseModel):
    """Where traces, assessments, datasets and evaluation runs are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tracking_uri: str = Field(
        default="sqlite:///mlflow.db",
        pattern=r"^[a-z][a-z0-9+]*://",
        description="MLflow's tracking URI: sqlite:///FILE, postgresql://..., http://HOST:PORT.",
    )
    experiment: str | None = Field(
        default=None, min_length=1, description="Name of the experiment, made if missing; the app's name if left out."
    )
    token: SecretStr | None = Field(default=None, description="Bearer token for a tracking server.")
    username: str | None = Field(
        default=None, min_length=1, description="User of a tracking server that asks for HTTP basic authentication."
    )
    password: SecretStr | None = Field(default=None, description="The user's password.")
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities to trust for the tracking server; the system's if left out.",
    )
    client_cert_file: Path | None = Field(
        default=None, description="PEM file with our certificate and its key, for a tracking server that asks for one."
    )
    proxy: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="HTTP proxy to the tracking server; that of HTTPS_PROXY or HTTP_PROXY if left out.",
    )

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.token is not None and self.username is not None:
            raise ValueError("a tracking server takes either a token, or username and password")
        return self

    @property
    def has_own_transport(self) -> bool:
        """Whether requests to the tracking server need more than MLflow's own client does."""
        own = (self.token, self.username, self.ca_file, self.client_cert_file, self.proxy)
        return self.tracking_uri.startswith(("http://", "https://")) and any(each is not None for each in own)


class PriceSettings(BaseModel):
    """What a model costs, in dollars for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0, description="Dollars for a million tokens that it reads.")
    output: float = Field(ge=0, description="Dollars for a million tokens that it writes.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendLimit:
    """The most that a day may cost, in one unit."""

    unit: Literal["calls", "dollars"]
    amount: float


class SpendSettings(BaseModel):
    """What the models may cost that judge: scoring, evaluations, judging again and retries of the whole group."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_day: str | None = Field(
        None,
        pattern=r"^(\$\d+(\.\d+)?|\d+ calls)$",
        description="The most a UTC day, `$20` or `5000 calls`; what exceeds it waits, parked. No limit if left out.",
    )
    evaluation_share: Rate = Field(
        0.25,
        description="The part of it that evaluations have for themselves, where versions are compared; the rest is for "
        "production.",
    )
    prices: dict[str, PriceSettings] = Field(
        default_factory=dict,
        description="Model -> its price. With a limit in dollars each model that judges must have one.",
    )

    @property
    def limit(self) -> SpendLimit | None:
        """The limit as a number, None without one."""
        if self.per_day is None:
            return None
        if self.per_day.startswith("$"):
            return SpendLimit(unit="dollars", amount=float(self.per_day[1:]))
        return SpendLimit(unit="calls", amount=float(self.per_day.removesuffix(" calls")))
