"""What every JSON format has in common: checks on the bytes, and the meaning of the decoder's errors."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, TypeVar

import msgspec

from consumers.errors import InvalidEvent

if TYPE_CHECKING:
    from consumers.settings import DecodingLimits

T = TypeVar("T")

REASONS = (
    "empty",
    "too_large",
    "not_utf8",
    "too_deep",
    "not_json",
    "not_finite",
    "missing_field",
    "wrong_type",
    "bad_text",
    "trace_id_too_long",
    "future_timestamp",
    "unknown_format",
    "invalid_trace",
)

MAX_TAG_KEY_CHARS = 250
MAX_TAG_VALUE_CHARS = 4096
PREVIEW_CHARS = 1000
# Times beyond the year 9999 cannot be written as dates, nor stored.
MAX_TIMESTAMP_MS = 253_402_300_799_000

_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_DETAIL_CHARS = 300


def checked_bytes(value: bytes | None, limits: DecodingLimits) -> bytes:
    """The value of a message, after the checks that need no JSON parser.

    Raises:
        InvalidEvent: empty, too_large, not_utf8, too_deep.
    """
    if not value:
        raise InvalidEvent("empty", "the message has no value" if value is None else "the value has no bytes")
    if len(value) > limits.event_bytes:
        raise InvalidEvent("too_large", f"{len(value)} bytes, allowed {int(limits.event_bytes)}")
    try:
        value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidEvent("not_utf8", f"{error.reason} at byte {error.start}") from error
    if value.count(b"{") + value.count(b"[") > limits.depth:
        _check_depth(value, limits.depth)
    return value


def _check_depth(value: bytes, allowed: int) -> None:
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(value):
        first = found[0][:1]
        if first in b"[{":
            depth += 1
            if depth > allowed:
                raise InvalidEvent("too_deep", f"nested deeper than {allowed} levels")
        elif first in b"]}":
            depth -= 1


def decode_document(decoder: msgspec.json.Decoder[T], value: bytes) -> T:
    """Typed decode of a whole document; raw parts are valid JSON without numbers or text that cannot be kept.

    Raises:
        InvalidEvent: not_json, not_finite, missing_field, wrong_type.
    """
    try:
        # The typed decode does not see numbers that overflow, nor half characters, inside of raw parts. A whole decode
        # for nothing but its errors costs an eighth of what a search for such places by pattern did.
        msgspec.json.decode(value)
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        text = str(error)[:_DETAIL_CHARS]
        if "missing required field" in text:
            raise InvalidEvent("missing_field", text) from error
        raise InvalidEvent("not_finite" if "out of range" in text else "wrong_type", text) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(value, error) from error


def _malformed(value: bytes, error: Exception) -> InvalidEvent:
    """Python's parser takes NaN and Infinity, which tells them from plain garbage."""
    constants: list[str] = []
    try:
        json.loads(value, parse_constant=constants.append)
    except (ValueError, RecursionError):
        return InvalidEvent("not_json", str(error)[:_DETAIL_CHARS])
    if constants:
        return InvalidEvent("not_finite", f"{constants[0]} is not a JSON number")
    return InvalidEvent("not_json", str(error)[:_DETAIL_CHARS])


def checked_text(field: str, value: str) -> str:
    """A short text that goes into tables: no NUL, which PostgreSQL cannot store.

    Raises:
        InvalidEvent: bad_text.
    """
    if "\0" in value:
        raise InvalidEvent("bad_text", f"`{field}` has a NUL character")
    return value


def checked_id(value: str) -> str:
    """A trace id.

    Raises:
        InvalidEvent: missing_field, bad_text.
    """
    if not value.strip():
        raise InvalidEvent("missing_field", "`trace_id` is empty")
    return checked_text("trace_id", value)


def checked_tags(tags: dict[str, str]) -> dict[str, str]:
    """Tags that MLflow can store; values that are too long are cut when the trace is built.

    Raises:
        InvalidEvent: too_large, bad_text.
    """
    for key, value in tags.items():
        if not 0 < len(key) <= MAX_TAG_KEY_CHARS:
            raise InvalidEvent("too_large", f"a tag key has {len(key)} characters, allowed 1 to {MAX_TAG_KEY_CHARS}")
        checked_text(f"tags.{key[:50]}", key + value)
    return tags


def checked_timestamp(value: int) -> int:
    """A time in ms since the epoch, from 1970 to 9999.

    Raises:
        InvalidEvent: wrong_type below the range, future_timestamp above.
    """
    if value < 0:
        raise InvalidEvent("wrong_type", "`timestamp_ms` is negative")
    if value > MAX_TIMESTAMP_MS:
        raise InvalidEvent("future_timestamp", "later than the year 9999")
    return value


def preview(raw: bytes) -> str:
    """What MLflow shows in its list of traces: the text itself, or JSON, cut to 1000 characters."""
    value = msgspec.json.decode(raw)
    text = value if isinstance(value, str) else raw.decode("utf-8")
    return text[:PREVIEW_CHARS].replace("\0", "\ufffd")
