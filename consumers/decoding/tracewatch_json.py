"""`tracewatch+json`: one flat JSON object a request; see the documentation of trace events for its fields."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from mlflow.entities import (
    Assessment,
    AssessmentSource,
    AssessmentSourceType,
    Expectation,
    Span,
    Trace,
    TraceData,
    TraceInfo,
    TraceLocation,
    TraceState,
)

from consumers.decoding.documents import (
    MAX_TAG_VALUE_CHARS,
    checked_id,
    checked_tags,
    checked_text,
    checked_timestamp,
    decode_document,
    preview,
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
    span_id,
)

if TYPE_CHECKING:
    from consumers.messages import Message

DEFAULT_NAME = "request"
RETRIEVED = "retrieved"
_NS = 1_000_000
# A duration longer than this is a unit mistaken for another, and would not fit MLflow's columns.
_MAX_DURATION_MS = 10 * 365 * 24 * 3600 * 1000.0


_NULL = msgspec.Raw(b"null")


class Passage(msgspec.Struct, frozen=True):
    """A retrieved document."""

    page_content: str
    doc_uri: str | None = None


class _Document(msgspec.Struct, frozen=True):
    trace_id: str
    inputs: msgspec.Raw
    outputs: msgspec.Raw
    name: str | None = None
    timestamp_ms: int | None = None
    duration_ms: float | None = None
    status: Literal["OK", "ERROR"] | None = None
    retrieved: list[Passage] | None = None
    app_version: str | None = None
    session_id: str | None = None
    tags: dict[str, str] | None = None
    expectations: msgspec.Raw = _NULL


_DECODER = msgspec.json.Decoder(_Document)


def decode(message: Message, value: bytes, *, evaluation: bool) -> TraceEvent:
    """The event in `value`, which has passed `checked_bytes`; `evaluation` says that the message is marked as one.

    Raises:
        InvalidEvent: what is not as the format says.
    """
    document = decode_document(_DECODER, value)
    source_id = checked_id(document.trace_id)
    _require_object("inputs", document.inputs)
    if bytes(document.expectations) != b"null":
        _require_object("expectations", document.expectations)
    duration = document.duration_ms
    if duration is not None and not (math.isfinite(duration) and 0 <= duration <= _MAX_DURATION_MS):
        raise InvalidEvent("wrong_type", "`duration_ms` is not a duration in milliseconds")
    tags = checked_tags(document.tags or {})
    name = checked_text("name", document.name or DEFAULT_NAME)[:MAX_TAG_VALUE_CHARS]
    trace_id = mlflow_trace_id(source_id)
    timestamp_ms = checked_timestamp(message.timestamp_ms if document.timestamp_ms is None else document.timestamp_ms)
    status = document.status or "OK"
    facts = _Facts(source_id=source_id, trace_id=trace_id, name=name, timestamp_ms=timestamp_ms, status=status)
    return TraceEvent(
        position=message.position,
        source_id=source_id,
        trace_id=trace_id,
        name=name,
        timestamp_ms=timestamp_ms,
        duration_ms=duration,
        status=status,
        app_version=_optional_text("app_version", document.app_version),
        session_id=_optional_text("session_id", document.session_id),
        tags=tags,
        evaluation=evaluation or EVALUATION_MARK in tags,
        payload=TracewatchPayload(facts=facts, document=document),
    )


def _require_object(field: str, raw: msgspec.Raw) -> None:
    if bytes(raw)[:1] != b"{":
        raise InvalidEvent("wrong_type", f"Expected `object` - at `$.{field}`")


def _optional_text(field: str, value: str | None) -> str | None:
    return checked_text(field, value)[:MAX_TAG_VALUE_CHARS] if value else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Facts:
    """What the checks have settled."""

    source_id: str
    trace_id: str
    name: str
    timestamp_ms: int
    status: Literal["OK", "ERROR"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TracewatchPayload:
    """The raw document of an event, and how it becomes a trace."""

    facts: _Facts
    document: _Document

    def trace(self) -> Trace:
        """A root span with inputs and outputs, and a RETRIEVER span when documents were retrieved."""
        inputs, outputs = bytes(self.document.inputs), bytes(self.document.outputs)
        duration = self.document.duration_ms
        info = TraceInfo(
            trace_id=self.facts.trace_id,
            trace_location=TraceLocation.from_experiment_id("0"),
            request_time=self.facts.timestamp_ms,
            state=TraceState(self.facts.status),
            request_preview=preview(inputs),
            response_preview=preview(outputs),
            client_request_id=self.facts.source_id[:CLIENT_REQUEST_ID_CHARS],
            execution_duration=None if duration is None else round(duration),
            trace_metadata=self._metadata(),
            tags=self._tags(),
            assessments=self._expectations(),
        )
        return Trace(info=info, data=TraceData(spans=self._spans(inputs.decode(), outputs.decode())))

    def _metadata(self) -> dict[str, str]:
        session = self.document.session_id
        return {"mlflow.trace.session": session[:MAX_TAG_VALUE_CHARS]} if session else {}

    def _tags(self) -> dict[str, str]:
        # A stream must not say where MLflow finds its files.
        given = {
            key: value[:MAX_TAG_VALUE_CHARS]
            for key, value in (self.document.tags or {}).items()
            if not key.startswith("mlflow.")
        }
        version = self.document.app_version
        own = {"mlflow.traceName": self.facts.name, SOURCE_ID_TAG: self.facts.source_id[:MAX_TAG_VALUE_CHARS]}
        return given | own | ({APP_VERSION_TAG: version[:MAX_TAG_VALUE_CHARS]} if version else {})

    def _spans(self, inputs: str, outputs: str) -> list[Span]:
        start = self.facts.timestamp_ms * _NS
        end = start + round((self.document.duration_ms or 0.0) * _NS)
        root = span_id(self.facts.trace_id, self.facts.name)
        span = _SpanMaker(trace_id=self.facts.trace_id, status=self.facts.status)
        spans = [span.make(root, None, self.facts.name, "CHAIN", (start, end), (inputs, outputs))]
        if self.document.retrieved is not None:
            documents: list[dict[str, Any]] = [
                {"page_content": each.page_content, "metadata": {"doc_uri": each.doc_uri}, "id": each.doc_uri}
                if each.doc_uri
                else {"page_content": each.page_content, "metadata": {}, "id": None}
                for each in self.document.retrieved
            ]
            child = span_id(self.facts.trace_id, f"{self.facts.name}/{RETRIEVED}")
            # The event does not say when retrieval took place: an instant at the start claims nothing.
            values = (inputs, json.dumps(documents))
            spans.append(span.make(child, root, RETRIEVED, "RETRIEVER", (start, start), values))
        return spans

    def _expectations(self) -> list[Assessment]:
        given: dict[str, Any] = msgspec.json.decode(self.document.expectations) or {}
        return [self._expectation(name, value) for name, value in given.items() if value is not None]

    def _expectation(self, name: str, value: Any) -> Expectation:
        made = Expectation(
            name=name,
            value=value,
            source=AssessmentSource(source_type=AssessmentSourceType.HUMAN, source_id="tracewatch.source"),
            trace_id=self.facts.trace_id,
            create_time_ms=self.facts.timestamp_ms,
            last_update_time_ms=self.facts.timestamp_ms,
        )
        made.assessment_id = expectation_id(self.facts.trace_id, name)
        return made


@dataclass(frozen=True, kw_only=True, slots=True)
class _SpanMaker:
    """Spans of one trace, in the form in which MLflow writes them."""

    trace_id: str
    status: Literal["OK", "ERROR"]

    def make(  # noqa: PLR0917 - one call for each span, read as a row
        self,
        own_id: str,
        parent_id: str | None,
        name: str,
        kind: str,
        times_ns: tuple[int, int],
        values: tuple[str, str],
    ) -> Span:
        return Span.from_dict(
            {
                "trace_id": _base64(self.trace_id.removeprefix("tr-")),
                "span_id": _base64(own_id),
                "parent_span_id": _base64(parent_id) if parent_id else "",
                "name": name,
                "start_time_unix_nano": times_ns[0],
                "end_time_unix_nano": times_ns[1],
                "events": [],
                "links": [],
                "status": {"code": f"STATUS_CODE_{self.status}", "message": ""},
                "attributes": {
                    "mlflow.traceRequestId": json.dumps(self.trace_id),
                    "mlflow.spanType": json.dumps(kind),
                    "mlflow.spanInputs": values[0],
                    "mlflow.spanOutputs": values[1],
                },
            }
        )


def _base64(hex_digits: str) -> str:
    return base64.b64encode(bytes.fromhex(hex_digits)).decode()
