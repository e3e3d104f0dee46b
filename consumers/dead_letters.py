"""Where messages go that are no trace events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from consumers.messages import Message, Position

REASON_HEADER = "tracewatch.reason"
DETAIL_HEADER = "tracewatch.detail"
KEY_HEADER = "tracewatch.key"
TRUNCATED_HEADER = "tracewatch.original_bytes"
_DETAIL_CHARS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A dead letter as it stands in its topic: key is the position as JSON, value the original bytes."""

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


def dead_letter(message: Message, reason: str, detail: str) -> DeadLetter:
    """The letter for a message: original headers first, then the original key, the reason and the detail."""
    own = [(REASON_HEADER, reason.encode()), (DETAIL_HEADER, detail[:_DETAIL_CHARS].encode("utf-8", "replace"))]
    if message.key is not None:
        own.append((KEY_HEADER, message.key))
    return DeadLetter(key=position_key(message.position), value=message.value, headers=(*message.headers, *own))


def position_key(position: Position) -> bytes:
    """The key of the dead letter for the message at `position`: `["topic", partition, offset]`."""
    return json.dumps([position.topic, position.partition, position.offset], separators=(",", ":")).encode()
