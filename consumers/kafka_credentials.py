"""What a Kafka client shows to the brokers: its password, token and certificate as they are at each connection."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from consumers.errors import SourceUnavailable
from consumers.kafka_oauth import ClientCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Credentials = Callable[[], Mapping[str, str]]

_TLS_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")
_CLIENT_REFUSED = re.compile(r"ALERT_(BAD_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA)|CERTIFICATE_REQUIRED")


def with_credentials(options: Mapping[str, Any]) -> tuple[dict[str, Any], Credentials]:
    """The client library's own options, and where its secrets are read again.

    Args:
        options: what `SourceSettings.connection()` gives; `sasl_oauth` and `credentials` are no options of the library.

    Raises:
        SourceUnavailable: there is no token to be had, a file of the TLS options cannot be read, or the client
            certificate has expired.
    """
    theirs = dict(options)
    credentials: Credentials = theirs.pop("credentials", dict)
    oauth = theirs.pop("sasl_oauth", None)
    for key in _TLS_FILES:
        # The library's own error would not say which file it is.
        if key in theirs:
            _check_file(key, theirs[key])
    if oauth is not None:
        tokens = ClientCredentials(oauth, timeout_s=theirs.get("bootstrap_timeout_ms", 5000) / 1000)
        # Here the failure has words; on the client's own thread it would be one more lost connection.
        tokens.token()
        theirs["sasl_oauth_token_provider"] = tokens
    return theirs | dict(credentials()), credentials


def network(credentials: Credentials, configs: Mapping[str, Any]) -> KafkaNetClient:
    """The network part of a client whose every connection reads the secrets anew; certificates are files anyway."""
    net = NetworkSelector(**configs)
    return KafkaNetClient(net, _Connections(net, credentials, **configs), **configs)


class _Connections(KafkaConnectionManager):  # type: ignore[misc]  # the library has no types
    """Connections that log in with what the secrets are now, and hear why the broker refuses them."""

    def __init__(self, net: NetworkSelector, credentials: Credentials, **configs: Any) -> None:
        super().__init__(net, **configs)
        self._credentials = credentials

    def get_connection(self, *args: Any, **options: Any) -> Any:
        changed = {key: value for key, value in self._credentials().items() if self.config.get(key) != value}
        if changed:
            self.config.update(changed)
            # The library gives a broker up for good that has refused the former password.
            self._auth_failures.clear()
        return super().get_connection(*args, **options)

    async def _build_transport(self, *args: Any, **options: Any) -> Any:
        transport = await super()._build_transport(*args, **options)
        receive = transport._sock_recv  # noqa: SLF001 - see below

        def last_words_first() -> tuple[bytes, Exception | None]:
            # kafka-python 3.0.12 drops what came together with the end of the connection: the broker's refusal.
            data, error = receive()
            return data, None if data else error

        transport._sock_recv = last_words_first  # noqa: SLF001
        return transport


def explained(cause: str, options: Mapping[str, Any]) -> str:
    """A cause of a failed connection; TLS's bare word for a refused certificate is told in full."""
    if not _CLIENT_REFUSED.search(cause):
        return cause
    shown = options.get("ssl_certfile")
    whose = f"our client certificate (ssl_certfile {shown})" if shown else "a client without certificate (ssl_certfile)"
    return f"the broker refuses {whose}: {cause}"


def _check_file(key: str, path: str) -> None:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SourceUnavailable(f"{key} {path}: {error.strerror or error}") from error
    if key == "ssl_certfile" and (end := _end_of_validity(content)) is not None and end < datetime.now(UTC):
        raise SourceUnavailable(f"{key} {path}: the certificate expired on {end:%Y-%m-%d %H:%M} UTC")


def _end_of_validity(pem: bytes) -> datetime | None:
    """Of the first certificate, which is the client's own; None where there is none, which TLS will say itself."""
    try:
        return x509.load_pem_x509_certificates(pem)[0].not_valid_after_utc
    except ValueError:
        return None
