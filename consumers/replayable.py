"""What can be taken in again: messages out of dead letters, out of an archive, or out of a stretch of the stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from consumers.dead_letters import (
    DIGEST_HEADER,
    KEY_HEADER,
    OWN_HEADERS,
    PAYLOAD_HEADER,
    REASON_HEADER,
    SIZE_HEADER,
)
from consumers.letter_contents import REPLAY_HEADER, REPLAY_REASON_HEADER, digest
from consumers.messages import Message, Position


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayable:
    """A message that was in the stream once: `message` has its key, value and headers as far as they were kept.

    Attributes:
        message: at its original position, with the time at which it was found (of a letter: the letter's time).
        reason: why it is a dead letter, None for a message that is none.
        kept: `whole`, or what the letter says it holds instead: `redacted`, `reference` or `cut`.
        size: of the original value in bytes, None where the letter does not tell.
        sha256: of the original value, as hex digits; None where the letter does not tell.
    """

    message: Message
    reason: str | None = None
    kept: str = "whole"
    size: int | None = None
    sha256: bytes | None = None

    @property
    def position(self) -> Position:
        """Where the message stood."""
        return self.message.position

    @property
    def was_replayed(self) -> bool:
        """Whether this very message had been taken in again before."""
        return self.message.header(REPLAY_HEADER) is not None

    @property
    def failed_again(self) -> bool:
        """Whether it had been taken in again, and became a dead letter for the reason that it was one before."""
        before = self.message.header(REPLAY_REASON_HEADER)
        return self.was_replayed and self.reason is not None and before == self.reason.encode()

    def is_original(self, message: Message) -> bool:
        """Whether `message`, found at this position, is the one that the letter is about."""
        if message.position != self.position or message.value is None:
            return False
        return self.sha256 is None or digest(message.value) == self.sha256

    def with_original(self, message: Message) -> Replayable:
        """The same with the whole message, as it still stands in the stream."""
        whole = replace(message, timestamp_ms=self.message.timestamp_ms)
        return replace(self, message=whole, kept="whole")

    def again(self) -> tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]:
        """Value, key and headers to publish: the original ones, and where the message stood the very first time."""
        earlier = tuple(each for each in self.message.headers if each[0] not in (REPLAY_HEADER, REPLAY_REASON_HEADER))
        first = self.message.header(REPLAY_HEADER) or str(self.position).encode()
        mark = [(REPLAY_HEADER, first)]
        if self.reason is not None:
            mark.append((REPLAY_REASON_HEADER, self.reason.encode()))
        return self.message.value, self.message.key, (*earlier, *mark)


def replayable(message: Message) -> Replayable:
    """The message in a dead letter; any other message is its own."""
    own, headers = _split(message.headers)
    reason = own.get(REASON_HEADER)
    position = _position(message.key)
    if reason is None or position is None:
        return Replayable(message=message)
    original = Message(
        topic=position.topic,
        partition=position.partition,
        offset=position.offset,
        timestamp_ms=message.timestamp_ms,
        key=own.get(KEY_HEADER),
        value=message.value,
        headers=headers,
    )
    size = own.get(SIZE_HEADER, b"")[:19]
    return Replayable(
        message=original,
        reason=reason.decode("utf-8", "replace"),
        kept=own[PAYLOAD_HEADER].decode("utf-8", "replace") if PAYLOAD_HEADER in own else "whole",
        size=int(size) if size.isdigit() else None,
        sha256=own.get(DIGEST_HEADER),
    )


def _split(headers: tuple[tuple[str, bytes], ...]) -> tuple[dict[str, bytes], tuple[tuple[str, bytes], ...]]:
    """A letter's own headers, which stand last, once each; what stands before them is the original's."""
    own: dict[str, bytes] = {}
    end = len(headers)
    while end and headers[end - 1][0] in OWN_HEADERS and headers[end - 1][0] not in own:
        name, value = headers[end - 1]
        own[name] = value
        end -= 1
    return own, headers[:end]


def _position(key: bytes | None) -> Position | None:
    try:
        topic, partition, offset = json.loads(key or b"null")
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = type(partition) is int and type(offset) is int and min(partition, offset) >= 0
    return Position(topic=topic, partition=partition, offset=offset) if isinstance(topic, str) and numbers else None
