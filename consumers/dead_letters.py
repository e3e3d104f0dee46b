"""Where messages go that are no trace events."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Protocol

from consumers.letter_contents import RAW, LetterContents, digest
from consumers.messages import Message, Position

REASON_HEADER = "tracewatch.reason"
DETAIL_HEADER = "tracewatch.detail"
KEY_HEADER = "tracewatch.key"
PAYLOAD_HEADER = "tracewatch.payload"
SIZE_HEADER = "tracewatch.original_bytes"
DIGEST_HEADER = "tracewatch.original_sha256"
OWN_HEADERS = (REASON_HEADER, DETAIL_HEADER, KEY_HEADER, PAYLOAD_HEADER, SIZE_HEADER, DIGEST_HEADER)
_DETAIL_CHARS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A dead letter as it stands in its topic: key is the position as JSON, value what is kept of the original."""

    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    def header(self, name: str) -> bytes | None:
        """The last value of the header `name`, or None."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


class DeadLetterQueue(Protocol):
    """Takes what cannot be decoded; at-least-once, with the message's position as a stable key."""

    def send(self, message: Message, reason: str, detail: str) -> None:
        """Return once the letter is safe. Raises `SourceUnavailable` when it could not be made safe in time."""
        ...

    def flush(self) -> None:
        """Return once nothing is on its way."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


def dead_letter(message: Message, reason: str, detail: str, contents: LetterContents = RAW) -> DeadLetter:
    """The letter for a message: original headers first, then the reason, and what else `contents` allows.

    A letter that does not hold the whole message says so, with the size and the SHA-256 of the original value.
    """
    own = [(REASON_HEADER, reason.encode())]
    if (words := contents.detail(reason, detail)) is not None:
        own.append((DETAIL_HEADER, words[:_DETAIL_CHARS].encode("utf-8", "replace")))
    if (key := contents.key(message)) is not None:
        own.append((KEY_HEADER, key))
    if contents.payload != "raw":
        own.append((PAYLOAD_HEADER, contents.payload.encode()))
        own.extend(_original(message))
    headers = (*contents.headers(message), *own)
    return DeadLetter(key=position_key(message.position), value=contents.value(message), headers=headers)


def cut_letter(letter: DeadLetter, message: Message, kept_bytes: int) -> DeadLetter:
    """The letter with the first `kept_bytes` of its value, and with the size and the SHA-256 of the original."""
    kept = tuple(each for each in letter.headers if each[0] not in (PAYLOAD_HEADER, SIZE_HEADER, DIGEST_HEADER))
    value = None if letter.value is None else letter.value[:kept_bytes]
    return replace(letter, value=value, headers=(*kept, (PAYLOAD_HEADER, b"cut"), *_original(message)))


def position_key(position: Position) -> bytes:
    """The key of the dead letter for the message at `position`: `["topic", partition, offset]`."""
    return json.dumps([position.topic, position.partition, position.offset], separators=(",", ":")).encode()


def _original(message: Message) -> tuple[tuple[str, bytes], ...]:
    if message.value is None:
        return ()
    return (SIZE_HEADER, str(len(message.value)).encode()), (DIGEST_HEADER, digest(message.value))
