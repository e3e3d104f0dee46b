"""The one border between MLflow's judges and the judge's HTTP endpoint.

MLflow 3.17 retries each judge call 10 times (181 s of waiting against a dead endpoint) with no setting for it and blind
to Retry-After; an outage comes out of ``Scorer.run`` as the same ``MlflowException`` as an unreadable answer, and some
scorers catch it. So the function through which all chat completions of judges go is replaced here: requests are sent
as the settings say, through a ``JudgeEndpoint``, and the ``JudgeWitness`` of the score in progress is told what the
endpoint did.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
import requests
from mlflow.genai.judges.adapters import gateway_adapter
from mlflow.genai.judges.adapters.utils import (
    ChatCompletionError,
    is_context_window_error,
    send_chat_request,
)

from scorers.chat_http import ChatHttp, RequestRefused
from scorers.errors import JudgeUnavailable
from scorers.judge_endpoint import CallRecord, EndpointState, JudgeEndpoint
from scorers.settings import JudgeSettings

_SEND = "send_chat_request"
_BAD_REQUEST = 400
_WORDS = 300
_NO_COUNT = 10**9

Send = Callable[[str, dict[str, str], dict[str, Any], int], dict[str, Any]]


@dataclass(slots=True)
class JudgeWitness:
    """What the endpoint did during one score. Tokens are None until the endpoint has reported some.

    `unmetered` calls may be billed for tokens that it has not reported.
    """

    outage: JudgeUnavailable | None = None
    endpoint: str | None = None
    in_flight: int = 0
    calls: int = 0
    asked: int = 0
    unmetered: int = 0
    waited_s: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None

    def add(self, record: CallRecord, tokens: "_Tokens") -> None:
        """A question is over, answered or not."""
        self.in_flight -= 1
        self.calls += record.calls
        self.asked += 1
        self.unmetered += record.unmetered
        self.waited_s += record.waited_s
        self.input_tokens = _sum(self.input_tokens, tokens.read)
        self.output_tokens = _sum(self.output_tokens, tokens.written)


@dataclass(slots=True)
class JudgeUsage:
    """What was asked of one model since the transport was set up; `unmetered` as in `JudgeWitness`."""

    calls: int = 0
    unmetered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Tokens:
    """What an answer says that it took; None where it does not say."""

    read: int | None = None
    written: int | None = None

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        usage = answer.get("usage")
        if not isinstance(usage, dict):
            return cls()
        read = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
        return cls(read, _count(usage.get("completion_tokens", usage.get("output_tokens"))))

    @property
    def known(self) -> bool:
        return self.read is not None and self.written is not None


@dataclass(slots=True)
class _Transport:
    """The judges' transport of this process: one endpoint object an address."""

    settings: JudgeSettings
    stopping: threading.Event
    http: ChatHttp
    endpoints: dict[str, JudgeEndpoint] = field(default_factory=dict)
    usage: dict[str, JudgeUsage] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, model: str, record: CallRecord, tokens: _Tokens) -> None:
        with self.lock:
            total = self.usage.setdefault(model, JudgeUsage())
            total.calls += record.calls
            total.unmetered += record.unmetered
            total.input_tokens += tokens.read or 0
            total.output_tokens += tokens.written or 0

    def endpoint(self, address: str) -> JudgeEndpoint:
        with self.lock:
            if address not in self.endpoints:
                self.endpoints[address] = JudgeEndpoint(address, self.settings, self.stopping)
            return self.endpoints[address]


_witness: ContextVar[JudgeWitness | None] = ContextVar("tracewatch_judge_witness", default=None)
_original: Send = send_chat_request
_transport: _Transport | None = None


def bound_judge_calls(settings: JudgeSettings, stopping: threading.Event | None = None) -> None:
    """From now on each judge call of this process keeps to the settings; it does not wait once `stopping` is set."""
    global _transport  # noqa: PLW0603 -- MLflow's judges have one transport a process; this is its state
    _transport = _Transport(settings, stopping or threading.Event(), ChatHttp(settings))
    _install(_send)


def release_judge_calls() -> None:
    """Undo ``bound_judge_calls``: MLflow's own transport, unbounded as it comes."""
    global _transport  # noqa: PLW0603
    _transport = None
    _install(_original)


def endpoint_state() -> EndpointState | None:
    """What is known of the endpoint that judges ask; None before the first call."""
    transport = _transport
    if transport is None or not transport.endpoints:
        return None
    return next(iter(transport.endpoints.values())).state


def judge_usage() -> dict[str, JudgeUsage]:
    """What was asked of each model since `bound_judge_calls`."""
    return dict(_transport.usage) if _transport is not None else {}


def endpoint_answered(address: str) -> None:
    """Tell that an endpoint has answered past the transport: its circuit closes."""
    if _transport is not None:
        _transport.endpoint(address).note_answer()


def _install(send: Send) -> None:
    # An MLflow that has no such function any more would leave the judges unbounded: better to fail here.
    if not hasattr(gateway_adapter, _SEND):
        raise RuntimeError(
            "this version of MLflow has no gateway_adapter.send_chat_request: see scorers/judge_transport.py"
        )
    setattr(gateway_adapter, _SEND, send)


@contextmanager
def witnessing() -> Iterator[JudgeWitness]:
    """A witness of the judge calls made in this context, also from threads that copy it (as ``Scorer.run`` does)."""
    witness = JudgeWitness()
    token = _witness.set(witness)
    try:
        yield witness
    finally:
        _witness.reset(token)


def outage_of(error: BaseException | None) -> JudgeUnavailable | None:
    """The outage behind an error of a judge call, found along its causes; None where the trace is to blame."""
    while error is not None:
        if isinstance(error, JudgeUnavailable):
            return error
        if isinstance(error, (requests.exceptions.RequestException, httpx.TransportError)):
            # A judge that asks in a way of its own, past this transport.
            return JudgeUnavailable(f"{type(error).__name__}: {error}"[:_WORDS])
        error = error.__cause__
    return None


def _send(endpoint: str, headers: dict[str, str], payload: dict[str, Any], num_retries: int) -> dict[str, Any]:
    transport = _transport
    if transport is None:
        return _original(endpoint, headers, payload, num_retries)
    witness = _witness.get() or JudgeWitness()
    witness.endpoint = endpoint
    witness.in_flight += 1
    record = CallRecord()
    tokens = _Tokens()
    try:
        answer = transport.endpoint(endpoint).call(lambda: transport.http.post(endpoint, headers, payload), record)
    except JudgeUnavailable as outage:
        witness.outage = outage
        raise
    except RequestRefused as refused:
        too_long = refused.status == _BAD_REQUEST and is_context_window_error(refused.words)
        raise ChatCompletionError(refused.status, refused.words, is_context_window_error=too_long) from refused
    else:
        tokens = _Tokens.of(answer)
        record.unmetered += not tokens.known
        # An answer came: earlier outages are over.
        witness.outage = None
        # MLflow reads them as well, and stumbles over a null.
        return answer if isinstance(answer.get("usage"), dict) else {**answer, "usage": {}}
    finally:
        witness.add(record, tokens)
        transport.note(str(payload.get("model", "")), record, tokens)


def _count(said: object) -> int | None:
    # An endpoint can say anything: no answer has a billion tokens.
    return said if isinstance(said, int) and 0 <= said < _NO_COUNT else None


def _sum(total: int | None, more: int | None) -> int | None:
    return total if more is None else (total or 0) + more
