"""The configuration of where trace events come from."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr, model_validator

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value.strip()) if isinstance(value, str) else None
    return timedelta(**{_UNITS[found[2]]: float(found[1])}) if found else value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Format = Literal["tracewatch+json", "mlflow+json", "feedback+json"]


class DecodingLimits(BaseModel):
    """What a message may be at most; what exceeds it is a dead letter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_bytes: ByteSize = Field(ByteSize(1024 * 1024), gt=0, description="Largest message value.")
    trace_id_chars: int = Field(256, gt=0, description="Longest trace id.")
    depth: int = Field(64, gt=0, le=256, description="Deepest nesting of objects and arrays.")
    future: Duration = Field(timedelta(minutes=10), description="How far ahead of the clock an event's time may be.")


class DeadLetterSettings(BaseModel):
    """What is kept of messages that are no trace events, and when there are too many of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    payload: Literal["raw", "redacted", "reference"] = Field(
        "raw",
        description="What a dead letter holds of the message: its bytes, its text after redaction, or only where it "
        "stands.",
    )
    stop_share: float = Field(
        0.95, gt=0, le=1, description="Share of invalid messages at which the daemon stops: a bad deployment, not data."
    )
    stop_after: int = Field(500, ge=1, description="How many messages in a row of the stream that share is taken over.")
    hold: Duration = Field(
        timedelta(seconds=5),
        description="How long invalid messages are held before they become dead letters, when hardly a valid one came "
        "with them.",
    )


class OAuthSettings(BaseModel):
    """A token endpoint and who asks it: the client-credentials grant of OAuth 2.0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_url: str = Field(pattern=r"^https?://", description="The endpoint that gives access tokens.")
    client_id: str = Field(min_length=1, description="Who asks for a token.")
    client_secret: SecretStr = Field(description="Its secret, sent with HTTP basic authentication.")
    scope: str | None = Field(None, description="What the token shall be good for; the endpoint's default if left out.")
    ca_file: Path | None = Field(
        None, description="PEM file of the authorities to trust for the endpoint; the system's if left out."
    )


class SourceSettings(BaseModel):
    """Where trace events come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["kafka", "file"] = Field("kafka", description="A Kafka topic, or a file of one JSON event a line.")
    bootstrap_servers: str = Field("127.0.0.1:9092", min_length=1, description="`host:port`, several with commas.")
    topic: str = Field("traces", pattern=r"^[A-Za-z0-9._-]{1,249}$", description="The topic to consume.")
    group_id: str | None = Field(None, min_length=1, description="Consumer group; the app's name when left out.")
    group_instance_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{1,249}$", description="Static membership: a name that survives restarts."
    )
    format: Format = Field("tracewatch+json", description="Format of messages whose `content-type` names none.")
    dead_letter_topic: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Where undecodable messages go; `TOPIC.dead-letter` when left out.",
    )
    path: Path | None = Field(None, description="The file, for `kind: file`.")
    where: dict[str, str] = Field(
        default_factory=dict, description="Only events with these attributes are ours, in a topic shared by several."
    )
    limits: DecodingLimits = Field(default_factory=DecodingLimits, description="What a message may be at most.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None = Field(
        None, description="How to log in, for the SASL protocols."
    )
    sasl_plain_username: str | None = Field(None, description="User name, for PLAIN and SCRAM.")
    sasl_plain_password: SecretStr | None = Field(None, description="Password, for PLAIN and SCRAM.")
    sasl_oauth: OAuthSettings | None = Field(None, description="Where tokens come from, for OAUTHBEARER.")
    sasl_kerberos_service_name: str | None = Field(None, description="Service name, for GSSAPI.")
    ssl_cafile: Path | None = Field(None, description="PEM file of the authorities to trust; the system's if left out.")
    ssl_certfile: Path | None = Field(None, description="PEM file of the client certificate.")
    ssl_keyfile: Path | None = Field(None, description="PEM file of the client certificate's key.")
    ssl_password: SecretStr | None = Field(None, description="Password of the client certificate's key.")
    ssl_check_hostname: bool = Field(default=True, description="Whether the certificate must name the broker's host.")
    max_poll_records: int = Field(500, gt=0, description="Most messages taken in one go.")
    fetch_bytes: ByteSize = Field(
        ByteSize(16 * 1024 * 1024), gt=0, description="Most bytes that one fetch brings; bounds memory."
    )
    session_timeout: Duration = Field(timedelta(seconds=45), description="Silence after which a member is given up.")
    heartbeat_interval: Duration = Field(timedelta(seconds=3), description="How often a member says it is alive.")
    max_poll_interval: Duration = Field(timedelta(minutes=5), description="Longest time between two polls.")
    connect_timeout: Duration = Field(timedelta(seconds=5), description="How long one attempt to connect may take.")
    request_timeout: Duration = Field(timedelta(seconds=10), description="How long a commit or a probe may take.")
    reconnect_backoff_max: Duration = Field(timedelta(seconds=2), description="Longest pause before connecting again.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.kind == "file" and self.path is None:
            raise ValueError("`path` is required for `kind: file`")
        if self.security_protocol.startswith("SASL") and self.sasl_mechanism is None:
            raise ValueError(f"`sasl_mechanism` is required for `security_protocol: {self.security_protocol}`")
        self._can_log_in()
        if self.dead_letter_topic == self.topic:
            raise ValueError("`dead_letter_topic` must not be `topic`: dead letters would come back for ever")
        if not self.heartbeat_interval < self.session_timeout:
            raise ValueError("`heartbeat_interval` must be shorter than `session_timeout`")
        return self

    def _can_log_in(self) -> None:
        mechanism = self.sasl_mechanism if self.security_protocol.startswith("SASL") else None
        if mechanism == "OAUTHBEARER" and self.sasl_oauth is None:
            raise ValueError("`sasl_oauth` is required for `sasl_mechanism: OAUTHBEARER`")
        named = self.sasl_plain_username is not None and self.sasl_plain_password is not None
        if mechanism in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} and not named:
            raise ValueError(
                f"`sasl_plain_username` and `sasl_plain_password` are required for `sasl_mechanism: {mechanism}`"
            )

    @property
    def dead_letters(self) -> str:
        """The dead-letter topic in force."""
        return self.dead_letter_topic or f"{self.topic}.dead-letter"

    def connection(self) -> dict[str, Any]:
        """The options that `kafka_connection.connect` needs to reach the cluster; the password is in the clear.

        Secrets are read when this is called; `credentials` lets a running client read them again.
        """
        wanted = {
            "bootstrap_servers": [server.strip() for server in self.bootstrap_servers.split(",")],
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_plain_username,
            "credentials": self.credentials if self.credentials() else None,
            "sasl_oauth": self.sasl_oauth,
            "sasl_kerberos_service_name": self.sasl_kerberos_service_name,
            "ssl_cafile": _text(self.ssl_cafile),
            "ssl_certfile": _text(self.ssl_certfile),
            "ssl_keyfile": _text(self.ssl_keyfile),
            "ssl_check_hostname": self.ssl_check_hostname,
            "bootstrap_timeout_ms": milliseconds(self.connect_timeout),
            "reconnect_backoff_max_ms": milliseconds(self.reconnect_backoff_max),
            **self.credentials(),
        }
        return {key: value for key, value in wanted.items() if value is not None}

    def credentials(self) -> dict[str, str]:
        """The client's options that are secrets, read now: a running client asks at each of its connections."""
        secrets = {"sasl_plain_password": self.sasl_plain_password, "ssl_password": self.ssl_password}
        return {key: secret.get_secret_value() for key, secret in secrets.items() if secret is not None}


def milliseconds(duration: timedelta) -> int:
    """Whole milliseconds of a duration."""
    return round(duration.total_seconds() * 1000)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
