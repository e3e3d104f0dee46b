"""A local stand-in for a paid model: an OpenAI-compatible HTTP server whose answers come from rules, not from a model.

It serves `POST /v1/chat/completions` (no streaming) and `GET /v1/models`. A request for a verdict goes to the scripted
judge, any other to the scripted writer. Both read what they are sent, so another application or another e-mail gets
other answers; but they understand no more than their rules do, and their verdicts are worth nothing outside of a demo
or a test. `python -m monitor.demo.scripted_endpoint [PORT]` serves until Ctrl-C.
"""

from __future__ import annotations

import json
import socket
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Literal, Self

from monitor.demo import scripted_judge, scripted_writer
from monitor.demo.scripted_reading import count_tokens
from monitor.demo.scripted_trouble import HUGE_BYTES, Failure, Trouble

Role = Literal["judge", "writer"]

_MODELS = ("scripted", "gpt-5-mini")
_NONE: Mapping[str, str] = {}


class BadRequestError(ValueError):
    """The request is no chat completion that can be answered."""


class ScriptedEndpoint:
    """The server, as a context manager; it listens from `start` (or `with`) to `stop`, and may be started again.

    Args:
        host: the address to listen on.
        port: 0 takes a free one, which a later start keeps.
        latency_s: how long each completion takes, in seconds; may be changed while it runs.

    While `contrary` is set the judge says the opposite of what it would: a model that was changed behind its name.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, latency_s: float = 0.0) -> None:
        self.latency_s = latency_s
        self.contrary = False
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._lock = Lock()
        self._calls: Counter[Role] = Counter()
        self.trouble = Trouble()

    @property
    def base_url(self) -> str:
        """What goes into OPENAI_BASE_URL."""
        return f"http://{self._host}:{self._port}/v1"

    @property
    def calls(self) -> Mapping[Role, int]:
        """How many completions it has given, by role; failed requests are not counted."""
        with self._lock:
            return {"judge": self._calls["judge"], "writer": self._calls["writer"]}

    def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        self._server = _Server((self._host, self._port), self)
        self._port = self._server.server_port
        Thread(target=self._server.serve_forever, args=(0.05,), name="scripted-endpoint", daemon=True).start()

    def stop(self) -> None:
        """Stop listening and cut every open connection, as a server that dies does."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.cut_connections()
            self._server = None

    def fail(self, failure: Failure, *, times: int | None = None) -> None:
        """Answer the next `times` completions (all until `recover`, if None) with that failure."""
        self.trouble.begin(failure, times)

    def recover(self) -> None:
        """Answer as it should again; requests that hang are cut off."""
        self.trouble.end()

    def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The chat completion for a request's body. Raises BadRequestError."""
        role, content, reason = _reply(request, contrary=self.contrary)
        with self._lock:
            self._calls[role] += 1
        prompt_tokens = sum(count_tokens(_content(message)) for message in request["messages"])
        completion_tokens = count_tokens(content)
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": request.get("model", _MODELS[0]),
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content, "refusal": None},
                    "logprobs": None,
                    "finish_reason": reason,
                }
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": completion_tokens,
                "total_tokens": prompt_tokens + completion_tokens,
            },
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _reply(request: Mapping[str, Any], *, contrary: bool) -> tuple[Role, str, str]:
    """Who answers, the answer, and why it ends there."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise BadRequestError("'messages' must be a list of messages")
    if request.get("stream"):
        raise BadRequestError("this stand-in does not stream")
    texts = [_content(message) for message in messages]
    schema = _schema(request)
    if scripted_judge.judges(schema, texts[0]):
        verdict = scripted_judge.answer(texts[0], "\n".join(texts[1:]), schema, contrary=contrary)
        return "judge", verdict, "stop"
    content = scripted_writer.write("\n".join(texts))
    if schema is not None:
        return "writer", json.dumps(_filled(schema, content)), "stop"
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    if isinstance(limit, int) and count_tokens(content) > limit:
        return "writer", " ".join(content.split(" ")[:limit]), "length"
    return "writer", content, "stop"


def _content(message: Mapping[str, Any]) -> str:
    """A message's text; of a list of parts those that are text."""
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def _schema(request: Mapping[str, Any]) -> Mapping[str, Any] | None:
    wanted = request.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    schema = wanted.get("json_schema", {}).get("schema")
    return schema if isinstance(schema, dict) else None


def _filled(schema: Mapping[str, Any], text: str) -> Any:
    """A value of the schema whose strings are the text: what a schema other than a verdict's gets."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: _filled(inner, text) for name, inner in schema.get("properties", {}).items()}
    empty: dict[str, Any] = {"string": text, "boolean": True, "integer": 0, "number": 0.0, "array": [], "null": None}
    return empty.get(str(kind))


class _Server(ThreadingHTTPServer):
    """Threads are daemons; the open connections are known, so that stopping cuts them."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], endpoint: ScriptedEndpoint) -> None:
        super().__init__(address, _Connection)
        self.endpoint = endpoint
        self._open: set[socket.socket] = set()
        self._open_lock = Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the client closed it in the meantime
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away in the middle of an answer is no news here; anything else is a fault of this file.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    """One client's connection, kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path.rstrip("/") == "/v1/models":
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "tracewatch"} for name in _MODELS]
            self._answer(HTTPStatus.OK, {"object": "list", "data": models})
        else:
            self._error(HTTPStatus.NOT_FOUND, f"there is nothing at {self.path}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path.rstrip("/") != "/v1/chat/completions":
            self._error(HTTPStatus.NOT_FOUND, f"there is nothing at {self.path}")
            return
        with self.server.endpoint.trouble.admitted() as within:
            if within:
                self._complete(body)
            else:
                self._error(HTTPStatus.TOO_MANY_REQUESTS, "too many requests at once")

    def _complete(self, body: bytes) -> None:
        endpoint = self.server.endpoint
        time.sleep(endpoint.latency_s)
        failure = endpoint.trouble.next_failure()
        if failure is not None:
            self._fail(failure)
            return
        try:
            request = json.loads(body)
            if not isinstance(request, dict):
                raise BadRequestError("the body must be an object")
            completion = endpoint.complete(request)
        except ValueError as error:
            self._error(HTTPStatus.BAD_REQUEST, str(error))
            return
        self._answer(HTTPStatus.OK, completion)

    def _fail(self, failure: Failure) -> None:
        if failure == "hang_up":
            self.close_connection = True
        elif failure == "hang":
            self.close_connection = True
            self.server.endpoint.trouble.wait_for_its_end()
        elif failure == "retry_after":
            self._error(HTTPStatus.TOO_MANY_REQUESTS, "as configured", {"retry-after": "1"})
        elif failure == "truncated":
            self._send(HTTPStatus.OK, "application/json", b'{"choices": [{"index": 0, "mess')
        elif failure == "huge":
            self._send(HTTPStatus.OK, "application/json", b'{"choices": "' + b"x" * HUGE_BYTES + b'"}')
        elif failure == "echo":
            self._error(HTTPStatus.UNAUTHORIZED, f"wrong key: {self.headers.get('authorization')}")
        elif failure == "garbage":
            self._send(HTTPStatus.OK, "text/html", b"<html>gateway</html>")
        elif failure == "empty":
            self._send(HTTPStatus.OK, "application/json", b"")
        else:
            self._error(HTTPStatus(int(failure)), "as configured")

    def _error(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        body = {"error": {"message": message, "type": status.phrase, "param": None, "code": status.value}}
        self._send(status, "application/json", json.dumps(body).encode(), headers or {})

    def _answer(self, status: HTTPStatus, body: Mapping[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: HTTPStatus, content_type: str, body: bytes, headers: Mapping[str, str] = _NONE) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Requests are counted, not logged."""


def main() -> None:
    """Serve on the port of the first argument, or on a free one, until Ctrl-C."""
    with ScriptedEndpoint(port=int(sys.argv[1]) if len(sys.argv) > 1 else 0) as endpoint:
        print(endpoint.base_url, flush=True)  # noqa: T201 - the caller reads the address
        try:
            Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
