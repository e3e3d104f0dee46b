"""The HTTP port: `/metrics`, `/healthz`, `/readyz`."""

import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Self

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, ConfigDict, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from monitor.errors import AddressInUseError
from monitor.health import Health

_STOP_TIMEOUT_S = 10.0


class HttpSettings(BaseModel):
    """Where metrics and health are served."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="The address to bind to; loopback unless told otherwise.")
    port: int = Field(9464, ge=0, le=65535, description="The port; 0 takes a free one.")


def application(registry: CollectorRegistry, health: Health, alive: Callable[[], bool]) -> Starlette:
    """The ASGI application. `alive` tells whether every thread of the daemon still runs."""
    return Starlette(
        routes=[
            Route("/metrics", _metrics(registry)),
            Route("/healthz", _healthz(alive)),
            Route("/readyz", _readyz(health)),
        ]
    )


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


def _readyz(health: Health) -> Callable[[Request], Awaitable[Response]]:
    async def readyz(_request: Request) -> Response:
        states = health.states()
        body = {
            "ready": health.ready,
            "dependencies": {name: {"up": state.up, "cause": state.cause} for name, state in states.items()},
        }
        return JSONResponse(body, status_code=200 if health.ready else 503)

    return readyz


class HttpPort:
    """Serves an ASGI application from a thread, as a context manager."""

    def __init__(self, app: Starlette, settings: HttpSettings) -> None:
        """Prepare to serve; nothing listens before the context is entered."""
        self._settings = settings
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
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
        return f"http://{self._settings.host}:{self._port}"

    @property
    def alive(self) -> bool:
        """Whether the serving thread runs."""
        return self._thread.is_alive()

    def __exit__(self, *_: object) -> None:
        """Answer what is under way, then stop listening."""
        self._server.should_exit = True
        self._thread.join(timeout=_STOP_TIMEOUT_S)
