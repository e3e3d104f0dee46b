"""From a message to an event, or to the reason why it is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.decoding import feedback_json, mlflow_json, tracewatch_json
from consumers.decoding.documents import REASONS, checked_bytes
from consumers.errors import InvalidEvent
from consumers.events import EVALUATION_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from consumers.events import Event
    from consumers.messages import Message
    from consumers.settings import DecodingLimits

__all__ = ["FORMATS", "NAMED_FORMATS", "REASONS", "decode", "format_of"]

_DECODERS: Mapping[str, Callable[..., Event]] = {
    "tracewatch+json": tracewatch_json.decode,
    "mlflow+json": mlflow_json.decode,
    "feedback+json": feedback_json.decode,
}
FORMATS = tuple(_DECODERS)
NAMED_FORMATS = (*FORMATS, "otlp+proto", "otlp+json")


def format_of(message: Message, default_format: str) -> str:
    """The message's `content-type` where that names a format of ours, else `default_format`."""
    header = message.header("content-type")
    named = header.decode("latin-1").strip() if header else ""
    return named if named in NAMED_FORMATS else default_format


def decode(message: Message, default_format: str, limits: DecodingLimits, now_ms: int) -> Event:
    """The event in a message; `now_ms` is the clock that future timestamps are measured against.

    Raises:
        InvalidEvent: with one of `REASONS`.
    """
    name = format_of(message, default_format)
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise InvalidEvent("unknown_format", f"`{name[:50]}` is none of {', '.join(FORMATS)}")
    text = checked_bytes(message.value, limits)
    event = decoder(message, text, evaluation=_is_marked(message))
    if len(event.source_id) > limits.trace_id_chars:
        raise InvalidEvent("trace_id_too_long", f"{len(event.source_id)} characters, allowed {limits.trace_id_chars}")
    ahead_ms = event.timestamp_ms - now_ms
    if ahead_ms > limits.future.total_seconds() * 1000:
        raise InvalidEvent("future_timestamp", f"{ahead_ms / 1000:.0f} s ahead of the clock")
    return event


def _is_marked(message: Message) -> bool:
    baggage = message.header("baggage") or b""
    return message.header(EVALUATION_MARK) is not None or f"{EVALUATION_MARK}=".encode() in baggage
