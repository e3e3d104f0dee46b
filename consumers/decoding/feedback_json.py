"""`feedback+json`: what a person says of one request; see the documentation of trace events for its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from consumers.decoding.documents import checked_id, checked_text, checked_timestamp, decode_document
from consumers.errors import InvalidEvent
from consumers.events import FeedbackEvent, mlflow_trace_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumers.messages import Message

# What MLflow has room for.
MAX_NAME_CHARS = 250
MAX_USER_CHARS = 250
# MLflow's ready-made scorers look for the right answer under this name.
DEFAULT_EXPECTATION = "expected_response"

_NULL = msgspec.Raw(b"null")


class _Document(msgspec.Struct, frozen=True):
    trace_id: str
    name: str
    value: bool | int | float | str
    rationale: str | None = None
    expectation: msgspec.Raw = _NULL
    user: str | None = None
    timestamp_ms: int | None = None


_DECODER = msgspec.json.Decoder(_Document)


def decode(message: Message, value: bytes, *, evaluation: bool) -> FeedbackEvent:
    """The event in `value`, which has passed `checked_bytes`; `evaluation` says that the message is marked as one.

    Raises:
        InvalidEvent: what is not as the format says.
    """
    document = decode_document(_DECODER, value)
    source_id = checked_id(document.trace_id)
    given = document.value
    return FeedbackEvent(
        position=message.position,
        source_id=source_id,
        trace_id=mlflow_trace_id(source_id),
        name=_short("name", _required("name", document.name), MAX_NAME_CHARS),
        value=checked_text("value", given) if isinstance(given, str) else given,
        rationale=checked_text("rationale", document.rationale) if document.rationale else None,
        expectations=_expectations(document.expectation),
        user=_short("user", document.user, MAX_USER_CHARS) if document.user else None,
        timestamp_ms=checked_timestamp(
            message.timestamp_ms if document.timestamp_ms is None else document.timestamp_ms
        ),
        evaluation=evaluation,
    )


def _required(field: str, value: str) -> str:
    if not value.strip():
        raise InvalidEvent("missing_field", f"`{field}` is empty")
    return value


def _short(field: str, value: str, most: int) -> str:
    if len(value) > most:
        raise InvalidEvent("too_large", f"`{field}` has {len(value)} characters, allowed {most}")
    return checked_text(field, value)


def _expectations(raw: msgspec.Raw) -> Mapping[str, Any]:
    """An object is expectations by name, of which null ones say nothing; anything else is the right answer."""
    given: Any = msgspec.json.decode(raw)
    if given is None:
        return {}
    if not isinstance(given, dict):
        return {DEFAULT_EXPECTATION: given}
    return {
        _short("expectation", _required("expectation", name), MAX_NAME_CHARS): value
        for name, value in given.items()
        if value is not None
    }
