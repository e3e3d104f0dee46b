"""The `evaluation:` section of the configuration."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, field_validator, model_validator

from monitor.clock import Duration

_FUNCTION = r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*"


class ScheduleSettings(BaseModel):
    """When evaluations start by themselves: one of both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cron: str | None = Field(default=None, description="Five cron fields in UTC, for example '0 */6 * * *'.")
    interval: Duration | None = Field(default=None, description="Time between two starts, for example 6h.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.cron is None) == (self.interval is None):
            raise ValueError("a schedule has either cron or interval")
        if self.interval is not None and self.interval < timedelta(minutes=1):
            raise ValueError("interval is at least 1m")
        return self


class VersionSettings(BaseModel):
    """One version of the application: a function or a URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    function: str | None = Field(
        default=None,
        description="package.module:function, imported from the working directory; called with a row's inputs.",
    )
    url: str | None = Field(
        default=None, description='HTTP endpoint: POST {"inputs"} is answered by {"outputs", "retrieved"?}.'
    )
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="HTTP headers sent to the url.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust for the url; the system's if left out."
    )
    proxy: str | None = Field(
        default=None, description="HTTP proxy to the url; that of HTTPS_PROXY or HTTP_PROXY if left out."
    )
    timeout: Duration = Field(default=timedelta(seconds=60), description="Longest time for one row.")
    startup_timeout: Duration = Field(
        default=timedelta(seconds=120), description="Longest time for importing the function's module."
    )
    concurrency: Annotated[int, Field(ge=1, le=256)] = Field(default=4, description="Rows answered at the same time.")
    memory: ByteSize = Field(
        default=ByteSize(1024**3),
        description="What a function may use for one row beyond an idle process.",
        validate_default=True,
    )
    environment: tuple[str, ...] = Field(
        default=(), description="Names of environment variables that the function may see; all others are withheld."
    )

    @field_validator("function")
    @classmethod
    def _is_a_path(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(_FUNCTION, value):
            raise ValueError("a function is written package.module:function")
        return value

    @field_validator("url", "proxy")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("an address begins with http:// or https://")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.function is None) == (self.url is None):
            raise ValueError("a version has either function or url")
        if self.url is None and (self.headers or self.ca_file is not None or self.proxy is not None):
            raise ValueError("headers, ca_file and proxy belong to a url")
        if self.timeout <= timedelta(0) or self.startup_timeout <= timedelta(0):
            raise ValueError("timeouts are longer than 0s")
        return self


class EvaluationSettings(BaseModel):
    """Which versions are compared, with which one, and when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schedule: ScheduleSettings | None = Field(default=None, description="Without it only `tracewatch evaluate` runs.")
    baseline: str = Field(description="The version that the others are compared with.")
    versions: dict[str, VersionSettings] = Field(min_length=1, description="Versions by name, the baseline included.")
    margin: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.05, description="Largest difference of pass rates, or of mean scores, that does not matter."
    )
    repeats: Annotated[int, Field(ge=1, le=20)] = Field(
        default=1,
        description="Times that each answer is judged, against the judge's noise; judging costs that much more.",
    )
    early_stop: bool = Field(
        default=False,
        description="Run the rows in random order and stop a candidate when a regression is proved, or something of "
        "every scorer; a test that may be looked at any time decides then, and needs more rows than a fixed number.",
    )
    batch_rows: Annotated[int, Field(ge=1)] = Field(
        default=25, description="Rows run between two looks, with early_stop."
    )
    timeout: Duration = Field(default=timedelta(hours=2), description="Longest time for a whole evaluation.")

    @property
    def candidates(self) -> tuple[str, ...]:
        """The versions that are compared with the baseline."""
        return tuple(name for name in self.versions if name != self.baseline)

    @model_validator(mode="after")
    def _baseline_is_a_version(self) -> Self:
        if self.baseline not in self.versions:
            raise ValueError(f"baseline {self.baseline!r} is not among the versions {sorted(self.versions)}")
        return self
