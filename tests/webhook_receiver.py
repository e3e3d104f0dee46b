"""A webhook over real HTTP, which keeps what it is sent and may be away, slow of understanding, or ask for patience."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One POST: names of headers are lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass(slots=True)
class _State:
    received: list[Received] = field(default_factory=list)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class WebhookReceiver:
    """Answers `status` to each POST, and keeps those that it answers with 2xx. While `away` nobody listens."""

    def __init__(self) -> None:
        self._state = _State()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def address(self) -> str:
        """Where it listens, or did."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def accepted(self) -> list[Received]:
        """What it has accepted, in the order in which it came."""
        return list(self._state.received)

    def answer(self, status: int, **headers: str) -> None:
        """Answer so from now on."""
        self._state.status, self._state.headers = status, {name.replace("_", "-"): v for name, v in headers.items()}

    def go_away(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def come_back(self) -> None:
        """Listen, at the same port as before."""
        if self._server is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), _requests(self._state))
            self._port = self._server.server_port
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> Self:
        self.come_back()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()


def _requests(state: _State) -> type[BaseHTTPRequestHandler]:
    class _Requests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            if state.status < 300:
                state.received.append(Received(path=self.path, headers=headers, body=body))
            self._answer(b"what it says about itself" if state.status < 300 else body[:100])

        def do_HEAD(self) -> None:
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    return _Requests
