"""`mlflow+json`: what `mlflow.entities.Trace.to_json()` gives, spans included."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from mlflow.entities import Trace, TraceLocation
from mlflow.exceptions import MlflowException

from consumers.decoding.documents import (
    MAX_TAG_VALUE_CHARS,
    checked_id,
    checked_tags,
    checked_text,
    checked_timestamp,
    decode_document,
)
from consumers.errors import InvalidEvent
from consumers.events import (
    APP_VERSION_TAG,
    CLIENT_REQUEST_ID_CHARS,
    EVALUATION_MARK,
    SOURCE_ID_TAG,
    TraceEvent,
    expectation_id,
    mlflow_trace_id,
)

if TYPE_CHECKING:
    from consumers.messages import Message

_SESSION = "mlflow.trace.session"
_NAME = "mlflow.traceName"
_REQUEST_ID = "mlflow.traceRequestId"
# Where the other store keeps the trace's files: wrong in ours, and ours are written by ours.
_FOREIGN_TAGS = ("mlflow.artifactLocation", "mlflow.trace.spansLocation", "mlflow.trace.archiveLocation")
# A trace of an evaluation run, of one row of it, or of a judge at work.
_EVALUATION_METADATA = ("mlflow.sourceRun",)
_EVALUATION_TAGS = ("mlflow.eval.requestId", "mlflow.trace.sourceScorer", EVALUATION_MARK)
_HEX_SPAN_ID = re.compile(r"[0-9a-f]{16}")
_VERSION_KEYS = (APP_VERSION_TAG, "app_version")


class _Status(msgspec.Struct, frozen=True):
    code: str


class _Span(msgspec.Struct, frozen=True):
    trace_id: str
    span_id: str
    name: str
    start_time_unix_nano: int
    attributes: dict[str, msgspec.Raw]
    status: _Status
    parent_span_id: str | None = None
    end_time_unix_nano: int | None = None


class _Data(msgspec.Struct, frozen=True):
    spans: list[_Span]


class _Info(msgspec.Struct, frozen=True):
    trace_id: str
    request_time: str
    state: str
    execution_duration_ms: float | None = None
    trace_metadata: dict[str, str] | None = None
    tags: dict[str, str] | None = None
    assessments: list[msgspec.Raw] | None = None


class _Document(msgspec.Struct, frozen=True):
    info: _Info
    data: _Data


_DECODER = msgspec.json.Decoder(_Document)


def decode(message: Message, value: bytes, *, evaluation: bool) -> TraceEvent:
    """The event in `value`, which has passed `checked_bytes`; `evaluation` says that the message is marked as one.

    Raises:
        InvalidEvent: what is not as MLflow writes it.
    """
    document = decode_document(_DECODER, value)
    info, root = document.info, _root(document.data.spans)
    source_id = checked_id(info.trace_id)
    tags, metadata = checked_tags(info.tags or {}), checked_tags(info.trace_metadata or {})
    version = next((found for key in _VERSION_KEYS for found in (tags.get(key), metadata.get(key)) if found), None)
    name = checked_text("name", tags.get(_NAME) or root.name)[:MAX_TAG_VALUE_CHARS]
    marked = any(key in metadata for key in _EVALUATION_METADATA) or any(key in tags for key in _EVALUATION_TAGS)
    return TraceEvent(
        position=message.position,
        source_id=source_id,
        trace_id=mlflow_trace_id(source_id),
        name=name,
        timestamp_ms=_timestamp_ms(info.request_time),
        duration_ms=info.execution_duration_ms,
        status=_status(info.state),
        app_version=version,
        session_id=metadata.get(_SESSION),
        tags=tags,
        evaluation=evaluation or marked or EVALUATION_MARK in root.attributes,
        payload=MlflowPayload(source_id=source_id, name=name, app_version=version, value=value),
    )


def _root(spans: list[_Span]) -> _Span:
    root = next((span for span in spans if not span.parent_span_id), None)
    if root is None:
        raise InvalidEvent("invalid_trace", f"none of the {len(spans)} spans is a root span")
    return root


def _status(state: str) -> Literal["OK", "ERROR"]:
    if state not in ("OK", "ERROR", "STATE_UNSPECIFIED"):
        raise InvalidEvent("invalid_trace", f"state `{state[:50]}` is not that of a finished trace")
    return "ERROR" if state == "ERROR" else "OK"


def _timestamp_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise InvalidEvent("wrong_type", "`request_time` has no time zone")
        return checked_timestamp(round(moment.timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        raise InvalidEvent("wrong_type", "`request_time` is not a time in ISO 8601") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class MlflowPayload:
    """The raw trace of another MLflow, and how it becomes one for ours."""

    source_id: str
    name: str
    app_version: str | None
    value: bytes

    def trace(self) -> Trace:
        """The same trace with our id, our tags, and no word of where the other store kept it.

        Raises:
            InvalidEvent: invalid_trace, where MLflow cannot read it.
        """
        trace_id = mlflow_trace_id(self.source_id)
        raw: dict[str, Any] = msgspec.json.decode(self.value)
        info = raw["info"]
        info["trace_id"] = trace_id
        info["trace_location"] = TraceLocation.from_experiment_id("0").to_dict()
        info["client_request_id"] = info.get("client_request_id") or self.source_id[:CLIENT_REQUEST_ID_CHARS]
        info["tags"] = self._tags(info.get("tags") or {})
        info["trace_metadata"] = dict(info.get("trace_metadata") or {})
        info["assessments"] = [_rehomed(each, trace_id) for each in info.get("assessments") or []]
        for span in raw["data"]["spans"]:
            _rehome_span(span, trace_id)
        try:
            return Trace.from_dict(raw)
        except (MlflowException, ValueError, TypeError, KeyError, AttributeError) as error:
            # MLflow's reader trusts its input and raises whatever its first assumption to fail happens to raise.
            words = f"MLflow cannot read it: {type(error).__name__}: {error}"
            raise InvalidEvent("invalid_trace", " ".join(words.split())[:300]) from error

    def _tags(self, given: dict[str, str]) -> dict[str, str]:
        kept = {key: value[:MAX_TAG_VALUE_CHARS] for key, value in given.items() if key not in _FOREIGN_TAGS}
        own = {_NAME: self.name, SOURCE_ID_TAG: self.source_id[:MAX_TAG_VALUE_CHARS]}
        return kept | own | ({APP_VERSION_TAG: self.app_version[:MAX_TAG_VALUE_CHARS]} if self.app_version else {})


def _rehomed(assessment: dict[str, Any], trace_id: str) -> dict[str, Any]:
    own_id = assessment.get("assessment_id") or expectation_id(trace_id, json.dumps(assessment, sort_keys=True))
    return {**assessment, "trace_id": trace_id, "assessment_id": own_id}


def _rehome_span(span: dict[str, Any], trace_id: str) -> None:
    """Span ids stay. MLflow writes ids as base64, and wrote them as hex digits for a while (3.5.0)."""
    span["trace_id"] = _base64(trace_id.removeprefix("tr-"))
    for key in ("span_id", "parent_span_id"):
        own_id = span.get(key)
        span[key] = _base64(own_id) if own_id and _HEX_SPAN_ID.fullmatch(own_id) else own_id
    span["attributes"][_REQUEST_ID] = json.dumps(trace_id)
    span.setdefault("end_time_unix_nano", None)


def _base64(hex_digits: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digits)).decode()
