"""What one message says about one request to the application: the request itself, or what a person says of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.entities import Trace

    from consumers.messages import Position

_MLFLOW_ID = re.compile(r"tr-[0-9a-f]{32}")
SOURCE_ID_TAG = "tracewatch.source_id"
APP_VERSION_TAG = "tracewatch.app_version"
EVALUATION_MARK = "tracewatch-evaluation"
CLIENT_REQUEST_ID_CHARS = 50


def mlflow_trace_id(source_id: str) -> str:
    """The MLflow trace id of an application's own trace id.

    `tr-` and 32 lower-case hex digits stay as they are; anything else becomes `tr-` and the first 32 hex digits of its
    SHA-256, because MLflow's HTTP interface can carry only ids of that form.
    """
    if _MLFLOW_ID.fullmatch(source_id):
        return source_id
    return "tr-" + _digest(source_id)[:32]


def span_id(trace_id: str, path: str) -> str:
    """16 hex digits for the span at `path` (names from the root, joined by `/`): the same at every delivery."""
    digits = _digest(trace_id, path)[:16]
    return digits if int(digits, 16) else "1".zfill(16)  # OpenTelemetry forbids the id 0


def expectation_id(trace_id: str, name: str) -> str:
    """Assessment id of an expectation that came with the trace: the same at every delivery."""
    return "a-" + _digest(trace_id, "expectation", name)[:32]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


class Payload(Protocol):
    """The part of an event that stays raw until somebody needs it."""

    def trace(self) -> Trace:
        """MLflow's trace of this event: built anew at each call, equal each time.

        Its location is the experiment "0", which the trace store replaces.

        Raises:
            InvalidEvent: the raw part turns out not to be what its format promises.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceEvent:
    """One request to the application, as decoded from one message; times in ms since the epoch, durations in ms."""

    position: Position
    source_id: str
    trace_id: str
    name: str
    timestamp_ms: int
    duration_ms: float | None
    status: Literal["OK", "ERROR"]
    app_version: str | None
    session_id: str | None
    tags: Mapping[str, str]
    evaluation: bool
    payload: Payload


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackEvent:
    """What a person says of one request, as decoded from one message; `timestamp_ms` since the epoch.

    `expectations` are what the answer should have been, by name. `name` and `user` have at most 250 characters.
    """

    position: Position
    source_id: str
    trace_id: str
    name: str
    value: bool | int | float | str
    rationale: str | None
    expectations: Mapping[str, Any]
    user: str | None
    timestamp_ms: int
    evaluation: bool


Event: TypeAlias = TraceEvent | FeedbackEvent
