"""The settings of those who are told of alerts."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from monitor.alerts.kinds import About, about
from monitor.clock import Duration

ReceiverKind = Literal["alertmanager", "webhook", "apprise"]
Content = Literal["none", "links", "redacted"]

ALERTMANAGER_REPEAT: Final = timedelta(minutes=1)
_HTTP = re.compile(r"https?://[^/\s]")
_OF_HTTP = ("username", "password", "token", "ca_file", "proxy")


class ReceiverSettings(BaseModel):
    """Somebody who is told of alerts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]{0,30}$", description="Name in metrics, in the log and in the ledger."
    )
    kind: ReceiverKind = Field(
        description="Prometheus's Alertmanager by its API v2, a webhook of one's own, or a chat or mail service of the "
        "library apprise."
    )
    url: SecretStr | None = Field(
        default=None,
        description="Address: of the Alertmanager without /api/v2, of the webhook, or apprise's URL of a service.",
    )
    urls: tuple[SecretStr, ...] = Field(
        default=(), description="Instead of `url`: the addresses of all Alertmanagers of one cluster."
    )
    content: Content = Field(
        default="links",
        description="Whether texts leave the house: `none` has numbers alone, `links` also leads to traces and runs, "
        "`redacted` shows rationales, inputs and outputs, redacted and shortened.",
    )
    severities: tuple[Literal["page", "ticket"], ...] = Field(
        default=("page", "ticket"), min_length=1, description="Which alerts it is told of."
    )
    about: tuple[About, ...] | None = Field(
        default=None,
        min_length=1,
        description="`quality`, `health` (what Prometheus's own rules tell as well), or both. Quality alone for an "
        "Alertmanager, else both.",
    )
    repeat: Duration | None = Field(
        default=None,
        ge=timedelta(seconds=10),
        description="How often an alert that still fires is told again. An Alertmanager is told every 1m, others once.",
    )
    timeout: Duration = Field(
        default=timedelta(seconds=10), ge=timedelta(seconds=1), description="The longest wait for an answer."
    )
    secret: SecretStr | None = Field(
        default=None, description="Signs what a webhook is sent: any text, or `whsec_` and base64."
    )
    username: str | None = Field(default=None, min_length=1, description="User for HTTP basic authentication.")
    password: SecretStr | None = Field(default=None, description="The user's password.")
    token: SecretStr | None = Field(default=None, description="Bearer token.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust for https; the system's if left out."
    )
    proxy: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="HTTP proxy to the receiver; that of HTTPS_PROXY or HTTP_PROXY if left out.",
    )

    @model_validator(mode="after")
    def _has_its_address(self) -> Self:
        if (self.url is None) == (not self.urls):
            raise ValueError(f"receiver {self.name!r} needs exactly one of url and urls")
        if self.urls and self.kind != "alertmanager":
            raise ValueError(f"receiver {self.name!r}: urls are of one Alertmanager cluster; others have a `url` each")
        if self.kind != "apprise" and not all(_HTTP.match(each.get_secret_value()) for each in self.addresses):
            raise ValueError(f"receiver {self.name!r}: its address begins with http:// or https://")
        return self

    @model_validator(mode="after")
    def _has_what_its_kind_uses(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError(f"receiver {self.name!r}: username and password belong together")
        if self.token is not None and self.username is not None:
            raise ValueError(f"receiver {self.name!r} takes either a token, or username and password")
        if self.secret is not None and self.kind != "webhook":
            raise ValueError(f"receiver {self.name!r}: a secret signs webhooks alone")
        if self.kind == "apprise" and (useless := [key for key in _OF_HTTP if getattr(self, key) is not None]):
            raise ValueError(f"receiver {self.name!r}: {useless[0]} is not for apprise, whose URL says it all")
        return self

    @property
    def addresses(self) -> tuple[SecretStr, ...]:
        """Where it is."""
        return self.urls if self.url is None else (self.url,)

    @property
    def told_again_after(self) -> timedelta | None:
        """How often an alert that still fires is told again; None for never."""
        return self.repeat or (ALERTMANAGER_REPEAT if self.kind == "alertmanager" else None)

    def takes(self, kind: str, severity: str) -> bool:
        """Whether it is told of such alerts."""
        taken = self.about or (("quality",) if self.kind == "alertmanager" else ("quality", "health"))
        return severity in self.severities and about(kind) in taken


class LinkSettings(BaseModel):
    """Where the links in alerts lead, and those of the status page into MLflow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mlflow: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Address of MLflow's pages; that of `mlflow.tracking_uri` if left out and that is a server's.",
    )
    dashboard: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Address of a Grafana dashboard with the variables app, scorer, segment and version.",
    )
    runbooks: str = Field(default="docs/runbooks", description="Where the runbooks lie: an address or a folder.")
