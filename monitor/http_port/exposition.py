"""The HTTP port: the status page at `/`, `/metrics`, `/healthz`, `/readyz`."""

import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from typing import Protocol, Self

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from monitor.errors import AddressInUseError, MonitorError
from monitor.health import Health, ready
from monitor.http_port.access import HttpAccess, HttpSettings, TlsSettings, server_tls
from monitor.http_port.limits import MAX_HEADER_BYTES, BoundedProtocol
from monitor.status_page.rendering import CONTENT_SECURITY_POLICY

__all__ = ["HttpPort", "HttpSettings", "application"]

_STOP_TIMEOUT_S = 10.0
_HEADERS = [
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", CONTENT_SECURITY_POLICY),
]


class Page(Protocol):
    """What makes the status page."""

    def html(self, *, with_texts: bool, refresh: bool) -> str:
        """The page of now, with traces' texts or without; `refresh` has the browser ask again by itself."""
        ...


Answer = Callable[[Request], Response] | Callable[[Request], Awaitable[Response]]


class HttpTlsError(MonitorError):
    """The files of `http.tls` cannot be used."""


def application(
    registry: CollectorRegistry,
    health: Health,
    alive: Callable[[], bool],
    settings: HttpSettings | None = None,
    page: Page | None = None,
) -> Starlette:
    """The ASGI application. `alive` tells whether every thread of the daemon still runs; `page` is what `/` shows.

    `/healthz` and `/readyz` are open to everybody, as an orchestrator asks them; who may not see more is not told what
    the daemon depends on.
    """
    access = HttpAccess(settings or HttpSettings())
    return Starlette(
        routes=[
            Route("/metrics", access.required(_metrics(registry))),
            Route("/healthz", _healthz(alive)),
            Route("/readyz", _readyz(health, access)),
            *([] if page is None else [Route("/", access.required(_status(page, access)))]),
        ]
    )


def _status(page: Page, access: HttpAccess) -> Callable[[Request], Response]:
    # A plain function, as for the metrics.
    def status(request: Request) -> Response:
        refresh = request.query_params.get("refresh") != "no"
        return HTMLResponse(page.html(with_texts=access.trusts(request), refresh=refresh))

    return status


def _metrics(registry: CollectorRegistry) -> Callable[[Request], Response]:
    # A plain function: Starlette runs it in a thread, so that a read of the ledger blocks no other request.
    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return metrics


def _healthz(alive: Callable[[], bool]) -> Callable[[Request], Awaitable[Response]]:
    async def healthz(_request: Request) -> Response:
        running = alive()
        return JSONResponse({"alive": running}, status_code=200 if running else 503)

    return healthz


def _readyz(health: Health, access: HttpAccess) -> Callable[[Request], Awaitable[Response]]:
    async def readyz(request: Request) -> Response:
        states = health.states()
        body: dict[str, object] = {"ready": ready(states)}
        # A cause names hosts, topics and users.
        if access.trusts(request):
            body["dependencies"] = {name: {"up": state.up, "cause": state.cause} for name, state in states.items()}
        return JSONResponse(body, status_code=200 if body["ready"] else 503)

    return readyz


class HttpPort:
    """Serves an ASGI application from a thread, as a context manager."""

    def __init__(self, app: Starlette, settings: HttpSettings) -> None:
        """Prepare to serve; nothing listens before the context is entered.

        Raises:
            HttpTlsError: the files of `http.tls` cannot be used.
        """
        self._settings = settings
        tls = None if settings.tls is None else _tls(settings.tls)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                headers=_HEADERS,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
                lifespan="off",
                timeout_graceful_shutdown=2,
                ssl_context_factory=None if tls is None else lambda _config, _default: tls,
            )
        )
        self._thread = threading.Thread(name="http")
        self._port = settings.port

    def __enter__(self) -> Self:
        """Listen, and return when the port answers.

        Raises:
            AddressInUseError: the address is taken or may not be bound to.
        """
        listener = self._bind()
        self._port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="http", daemon=True)
        self._thread.start()
        return self

    def _bind(self) -> socket.socket:
        try:
            return socket.create_server((self._settings.host, self._settings.port), backlog=128)
        except OSError as error:
            raise AddressInUseError(
                f"http: cannot listen on {self._settings.host}:{self._settings.port}: {error.strerror}"
            ) from error

    @property
    def address(self) -> str:
        """The base URL under which the port answers."""
        return f"{'http' if self._settings.tls is None else 'https'}://{self._settings.host}:{self._port}"

    @property
    def alive(self) -> bool:
        """Whether the serving thread runs."""
        return self._thread.is_alive()

    def __exit__(self, *_: object) -> None:
        """Answer what is under way, then stop listening."""
        self._server.should_exit = True
        self._thread.join(timeout=_STOP_TIMEOUT_S)


def _tls(settings: TlsSettings) -> ssl.SSLContext:
    try:
        return server_tls(settings)
    except OSError as error:
        names = ", ".join(f"{key} {path}" for key, path in settings.files().items())
        raise HttpTlsError(f"http.tls: {error.strerror or error} ({names})") from error
