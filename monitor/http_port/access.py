"""Who may see what on the HTTP port: its settings, TLS whose files may change, and the check of a request."""

import base64
import binascii
import hmac
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

_CHALLENGE = 'Basic realm="tracewatch", charset="UTF-8"'


class TlsSettings(BaseModel):
    """The port speaks HTTPS. Files that change are read again with the next connection."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cert_file: Path = Field(description="PEM file of the port's certificate, with those between it and the authority.")
    key_file: Path = Field(description="PEM file of the certificate's key.")
    client_ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities whose clients are let in without another login."
    )

    def files(self) -> dict[str, Path]:
        """The files by their keys."""
        named = {"cert_file": self.cert_file, "key_file": self.key_file, "client_ca_file": self.client_ca_file}
        return {key: path for key, path in named.items() if path is not None}


class HttpSettings(BaseModel):
    """Where metrics and health are served, and to whom."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="The address to bind to; loopback unless told otherwise.")
    port: int = Field(9464, ge=0, le=65535, description="The port; 0 takes a free one.")
    tls: TlsSettings | None = Field(default=None, description="HTTPS in place of HTTP.")
    token: SecretStr | None = Field(default=None, description="Bearer token that lets a request in.")
    users: dict[str, SecretStr] = Field(
        default_factory=dict, description="Passwords by user, for HTTP basic authentication."
    )

    @field_validator("token", "users")
    @classmethod
    def _none_is_empty(cls, given: SecretStr | dict[str, SecretStr] | None) -> SecretStr | dict[str, SecretStr] | None:
        secrets = given.values() if isinstance(given, dict) else () if given is None else (given,)
        if any(not secret.get_secret_value() for secret in secrets):
            raise ValueError("a token or a password that is empty would let everybody in")
        return given

    @property
    def asks_for_login(self) -> bool:
        """Whether a request has to show who it is, to see more than whether the daemon is alive and ready."""
        mutual = self.tls is not None and self.tls.client_ca_file is not None
        return mutual or self.token is not None or bool(self.users)

    @property
    def may_show_traces(self) -> bool:
        """Whether traces' texts may be shown to those who get in: never to whoever can reach the address."""
        return self.asks_for_login or _is_loopback(self.host)


class HttpAccess:
    """Decides on requests; secrets are compared as they are at that moment, in constant time."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings

    def trusts(self, request: Request) -> bool:
        """Whether the request may see more than a stranger.

        Without a login that is who asks for loopback by one of its own names: a page of somebody else's in a browser
        on this machine can reach the port by a name of its own that leads here, and must not read what it shows.
        """
        if not self._settings.asks_for_login:
            return self._settings.may_show_traces and _is_loopback(_host(request))
        return self._let_in(request)

    def required(self, answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        """`answer` for those who are let in, 401 for all others; for everybody where no login is configured."""
        if not self._settings.asks_for_login:
            return answer

        async def guarded(request: Request) -> Response:
            if self._let_in(request):
                return await run_in_threadpool(answer, request)
            return PlainTextResponse("log in\n", 401, headers={"www-authenticate": _CHALLENGE})

        return guarded

    def _let_in(self, request: Request) -> bool:
        if request.scope.get("state", {}).get("client_certificate"):
            return True
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._settings.token is not None:
            return _equal(shown, self._settings.token)
        if scheme.lower() == "basic":
            user, _, password = _decoded(shown).partition(":")
            # A user that does not exist costs the same comparison.
            expected = self._settings.users.get(user, SecretStr(""))
            return _equal(password, expected) and user in self._settings.users
        return False


def server_tls(settings: TlsSettings) -> ssl.SSLContext:
    """TLS 1.2 and newer, whose files are read again when they change.

    A client's certificate is asked for where `client_ca_file` is given, and may be missing: an orchestrator's probe has
    none. New files that do not fit together, as in the middle of a rotation, leave the former ones in force.

    Raises:
        OSError: the files cannot be used.
    """
    first = current = _context(settings)
    seen = _versions(settings)

    def renew(connection: ssl.SSLObject, _name: str | None, _context_of_it: ssl.SSLContext) -> None:
        nonlocal current, seen
        try:
            versions = _versions(settings)
            if versions != seen:
                current, seen = _context(settings), versions
        except OSError:
            pass
        connection.context = current

    # Called at each handshake, with or without a name.
    first.sni_callback = renew
    return first


def _context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.cert_file, settings.key_file)
    if settings.client_ca_file is not None:
        context.load_verify_locations(settings.client_ca_file)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _versions(settings: TlsSettings) -> list[tuple[int, int, int]]:
    states = [path.stat() for path in settings.files().values()]
    return [(state.st_mtime_ns, state.st_size, state.st_ino) for state in states]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host(request: Request) -> str:
    """The name by which the request asks for us, without the port."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _equal(shown: str, secret: SecretStr) -> bool:
    return hmac.compare_digest(shown.encode(), secret.get_secret_value().encode())


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
