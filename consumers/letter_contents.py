"""How much of a message its dead letter holds: all of it, its text after redaction, or only where it stands."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from consumers.events import EVALUATION_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consumers.messages import Message

Headers = tuple[tuple[str, bytes], ...]

REPLAY_HEADER = "tracewatch-replay"
REPLAY_REASON_HEADER = "tracewatch-replay-reason"

# Both are written by `tracewatch replay`; anything of another form is a stranger's, and may be a secret.
_OUR_FORMS = {
    REPLAY_HEADER: re.compile(rb"[A-Za-z0-9._\-]{1,249}\[\d{1,10}\]@\d{1,19}"),
    REPLAY_REASON_HEADER: re.compile(rb"[a-z_]{1,40}"),
}
_CONTENT_TYPE = re.compile(rb"[\w.+/;= \-]{1,100}", re.ASCII)
_RUN_ID = re.compile(rb"[\w\-]{1,64}", re.ASCII)
# The details of these are made of numbers, of positions and of names of the format's own fields.
_DETAILS_WITHOUT_TEXT = frozenset(
    {
        "empty",
        "too_large",
        "not_utf8",
        "too_deep",
        "not_json",
        "not_finite",
        "missing_field",
        "trace_id_too_long",
        "future_timestamp",
    }
)
_TYPE_DETAIL = re.compile(r"Expected `|`(?:duration_ms|timestamp_ms|request_time)` ")


def _nothing(_value: bytes) -> bytes:
    return b""


@dataclass(frozen=True, kw_only=True, slots=True)
class LetterContents:
    """What a letter may hold. `redact` gets text in UTF-8 and gives it back without what must not be kept."""

    payload: Literal["raw", "redacted", "reference"] = "raw"
    redact: Callable[[bytes], bytes] = _nothing

    def value(self, message: Message) -> bytes | None:
        """The value to keep; bytes that are no text are kept as they are or not at all."""
        return message.value if self.payload == "raw" else self._redacted(message.value)

    def key(self, message: Message) -> bytes | None:
        """The original key to keep."""
        return message.key if self.payload == "raw" else self._redacted(message.key)

    def headers(self, message: Message) -> Headers:
        """The original headers to keep: any other than these few may hold a secret."""
        return message.headers if self.payload == "raw" else tuple(self._harmless(message))

    def detail(self, reason: str, detail: str) -> str | None:
        """The words for a person, None where they may quote the message."""
        harmless = reason in _DETAILS_WITHOUT_TEXT or (reason == "wrong_type" and _TYPE_DETAIL.match(detail))
        return detail if self.payload == "raw" or harmless else None

    def _redacted(self, value: bytes | None) -> bytes | None:
        if value is None or self.payload == "reference" or not _is_text(value):
            return None
        return self.redact(value)

    def _harmless(self, message: Message) -> Iterator[tuple[str, bytes]]:
        for name, form in _OUR_FORMS.items():
            value = message.header(name)
            if value is not None and form.fullmatch(value):
                yield name, value
        if self.payload == "redacted":
            yield from self._harmless_of_producers(message)

    def _harmless_of_producers(self, message: Message) -> Iterator[tuple[str, bytes]]:
        """What decoding needs: the format, and whether the message comes from an evaluation."""
        content_type = message.header("content-type")
        if content_type is not None and self._is_harmless(content_type, _CONTENT_TYPE):
            yield "content-type", content_type
        run_id = message.header(EVALUATION_MARK)
        if run_id is not None or f"{EVALUATION_MARK}=".encode() in (message.header("baggage") or b""):
            yield EVALUATION_MARK, run_id if run_id is not None and self._is_harmless(run_id, _RUN_ID) else b""

    def _is_harmless(self, value: bytes, form: re.Pattern[bytes]) -> bool:
        return form.fullmatch(value) is not None and self.redact(value) == value


RAW = LetterContents()


def digest(value: bytes) -> bytes:
    """The SHA-256 of a message's value in hex digits: tells the original from another message at its position."""
    return hashlib.sha256(value).hexdigest().encode()


def _is_text(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
