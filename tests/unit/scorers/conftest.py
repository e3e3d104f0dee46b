"""A scripted judge endpoint over real HTTP, and traces as a store would return them."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from mlflow.entities import (
    Expectation,
    Span,
    Trace,
    TraceData,
    TraceInfo,
    TraceLocation,
    TraceState,
)

from scorers.judge_transport import release_judge_calls
from scorers.judges import configure_judge
from scorers.settings import JudgeSettings

TRACE_ID = "tr-" + "ab" * 16


class ScriptedJudge:
    """Answers chat completions; ``status`` other than 200 and ``hold`` (an event to wait for) make it misbehave."""

    def __init__(self) -> None:
        self.status = 200
        self.answer: dict[str, Any] | str = {"result": "yes", "rationale": "it is fine"}
        self.usage: Any = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        self.hold: threading.Event | None = None
        self.hold_s = 10.0
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        judge = self

        class Connection(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                judge.keys.append(self.headers.get("Authorization"))
                self.reply({"data": []})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with judge.lock:
                    judge.requests.append(body)
                    judge.keys.append(self.headers.get("Authorization"))
                    judge.at_once += 1
                    judge.most_at_once = max(judge.most_at_once, judge.at_once)
                if judge.hold is not None:
                    judge.hold.wait(judge.hold_s)
                with judge.lock:
                    judge.at_once -= 1
                content = judge.answer if isinstance(judge.answer, str) else json.dumps(judge.answer)
                message = {"role": "assistant", "content": content}
                self.reply(
                    {
                        "id": "c1",
                        "object": "chat.completion",
                        "created": 1,
                        "model": "m",
                        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                        "usage": judge.usage,
                    }
                )

            def reply(self, body: dict[str, Any]) -> None:
                data = json.dumps(body if judge.status == 200 else {"error": {"message": "scripted trouble"}}).encode()
                try:
                    self.send_response(judge.status)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except (BrokenPipeError, ConnectionResetError):
                    return

            def log_message(self, *args: object) -> None:
                """Keep the test's output clean."""

        return Connection


@pytest.fixture
def judge() -> Iterator[ScriptedJudge]:
    """A judge endpoint of its own for each test."""
    scripted = ScriptedJudge()
    thread = threading.Thread(target=scripted.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield scripted
    scripted.server.shutdown()
    scripted.server.server_close()


@pytest.fixture
def configured(judge: ScriptedJudge, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., JudgeSettings]]:
    """Points MLflow's judges at the endpoint; keyword arguments change the settings. Undone after the test."""
    for name in (
        "OPENAI_API_BASE",
        "OPENAI_API_KEY",
        "MLFLOW_GENAI_JUDGE_DEFAULT_MODEL",
        "MLFLOW_GATEWAY_ROUTE_TIMEOUT_SECONDS",
        "MLFLOW_MODEL_CATALOG_URI",
    ):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("OPENAI_API_BASE")
    monkeypatch.delenv("MLFLOW_GATEWAY_ROUTE_TIMEOUT_SECONDS")

    def configure(**changes: Any) -> JudgeSettings:
        defaults: dict[str, Any] = {
            "base_url": judge.base_url,
            "model": "scripted",
            "api_key": "secret-key",
            "retries": 0,
        }
        settings = JudgeSettings(**(defaults | changes))
        configure_judge(settings)
        return settings

    yield configure
    release_judge_calls()


def _span(name: str, span_type: str, number: int, *, parent: int | None, inputs: Any, outputs: Any) -> Span:
    def encoded(value: int) -> str:
        return base64.b64encode(value.to_bytes(8, "big")).decode()

    attributes = {"mlflow.traceRequestId": json.dumps(TRACE_ID), "mlflow.spanType": json.dumps(span_type)}
    if inputs is not None:
        attributes["mlflow.spanInputs"] = json.dumps(inputs)
    if outputs is not None:
        attributes["mlflow.spanOutputs"] = json.dumps(outputs)
    return Span.from_dict(
        {
            "trace_id": base64.b64encode(bytes.fromhex(TRACE_ID[3:])).decode(),
            "span_id": encoded(number),
            "parent_span_id": None if parent is None else encoded(parent),
            "name": name,
            "start_time_unix_nano": 1,
            "end_time_unix_nano": 2,
            "events": [],
            "links": [],
            "status": {"code": "STATUS_CODE_OK", "message": ""},
            "attributes": attributes,
        }
    )


@pytest.fixture
def make_trace() -> Callable[..., Trace]:
    """Builds a trace: inputs, outputs, one list of document texts a retriever, expectations, duration in ms."""

    def make(
        outputs: Any = "Paris.",
        inputs: Any = None,
        retrieved: tuple[list[str], ...] = (),
        expectations: dict[str, Any] | None = None,
        duration_ms: int | None = 250,
    ) -> Trace:
        spans = [
            _span("app", "CHAIN", 1, parent=None, inputs=inputs or {"question": "Capital of France?"}, outputs=outputs)
        ]
        for number, texts in enumerate(retrieved, start=2):
            documents = [
                {"page_content": t, "metadata": {"doc_uri": f"d{i}"}, "id": str(i)} for i, t in enumerate(texts)
            ]
            spans.append(_span("retrieved", "RETRIEVER", number, parent=1, inputs={"q": "x"}, outputs=documents))
        info = TraceInfo(
            trace_id=TRACE_ID,
            trace_location=TraceLocation.from_experiment_id("0"),
            request_time=1,
            state=TraceState.OK,
            execution_duration=duration_ms,
            assessments=[Expectation(name=k, value=v) for k, v in (expectations or {}).items()],
        )
        return Trace(info=info, data=TraceData(spans=spans))

    return make
