"""The one border between MLflow's judges and the judge's HTTP endpoint.

MLflow 3.17 retries each judge call 10 times (181 s of waiting against a dead endpoint) and offers no setting for it; an
outage comes out of ``Scorer.run`` as the same ``MlflowException`` as an unreadable answer, and some scorers catch it.
So the function through which all chat completions of judges go is wrapped here: the wrapper bounds retries and
concurrency, and tells the ``JudgeWitness`` of the score in progress what the endpoint did.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import requests
from mlflow.genai.judges.adapters import gateway_adapter
from mlflow.genai.judges.adapters.utils import ChatCompletionError, send_chat_request

from scorers.errors import JudgeUnavailable

# Statuses that say something about the endpoint, the key, the quota or the model, and nothing about the trace.
_OUTAGE_STATUSES = frozenset({401, 402, 403, 404, 407, 408, 425, 429})
_SERVER_ERROR = 500
_SEND = "send_chat_request"

Send = Callable[[str, dict[str, str], dict[str, Any], int], dict[str, Any]]


@dataclass(slots=True)
class JudgeWitness:
    """What the endpoint did during one score. Tokens are None until the endpoint has reported some."""

    outage: JudgeUnavailable | None = None
    endpoint: str | None = None
    in_flight: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None

    def answered(self, usage: dict[str, Any]) -> None:
        """An answer came: earlier outages are over, its tokens count."""
        self.outage = None
        self.input_tokens = _add(self.input_tokens, usage.get("prompt_tokens", usage.get("input_tokens")))
        self.output_tokens = _add(self.output_tokens, usage.get("completion_tokens", usage.get("output_tokens")))


@dataclass(frozen=True, slots=True)
class _Bounds:
    retries: int
    slots: threading.BoundedSemaphore


_witness: ContextVar[JudgeWitness | None] = ContextVar("tracewatch_judge_witness", default=None)
_original: Send = send_chat_request
_bounds: _Bounds | None = None


def bound_judge_calls(*, retries: int, concurrency: int) -> None:
    """From now on each judge call of this process makes at most ``1 + retries`` attempts, ``concurrency`` at a time."""
    global _bounds  # noqa: PLW0603 -- MLflow's judges have one transport a process; this is its state
    _bounds = _Bounds(retries, threading.BoundedSemaphore(concurrency))
    _install(_send)


def release_judge_calls() -> None:
    """Undo ``bound_judge_calls``: MLflow's own transport, unbounded as it comes."""
    _install(_original)


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


def outage_of(error: BaseException | None, endpoint: str | None = None) -> JudgeUnavailable | None:
    """The outage behind an error of a judge call, found along its causes; None where the trace is to blame."""
    while error is not None:
        if isinstance(error, ChatCompletionError):
            status = error.status_code
            if status not in _OUTAGE_STATUSES and status < _SERVER_ERROR:
                return None
            return JudgeUnavailable(f"HTTP {status}: {error.message[:300]}", endpoint=endpoint, status=status)
        if isinstance(error, requests.exceptions.RequestException):
            return JudgeUnavailable(f"{type(error).__name__}: {error}"[:300], endpoint=endpoint)
        error = error.__cause__
    return None


def _send(endpoint: str, headers: dict[str, str], payload: dict[str, Any], num_retries: int) -> dict[str, Any]:
    bounds = _bounds
    if bounds is None:
        return _original(endpoint, headers, payload, num_retries)
    witness = _witness.get() or JudgeWitness()
    witness.endpoint = endpoint
    witness.in_flight += 1
    try:
        with bounds.slots:
            response = _original(endpoint, headers, payload, min(num_retries, bounds.retries))
    except Exception as error:
        witness.outage = outage_of(error, endpoint)
        raise
    finally:
        witness.in_flight -= 1
    witness.answered(response.get("usage") or {} if isinstance(response, dict) else {})
    return response


def _add(total: int | None, more: object) -> int | None:
    return (total or 0) + more if isinstance(more, int) else total
