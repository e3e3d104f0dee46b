"""A message of a stream, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Position:
    """One place in a stream; ordered by topic, partition, offset."""

    topic: str
    partition: int
    offset: int

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition it is in."""
        return TopicPartition(self.topic, self.partition)

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """What a stream delivered, untouched."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def position(self) -> Position:
        """Where it stands."""
        return Position(topic=self.topic, partition=self.partition, offset=self.offset)

    @property
    def topic_partition(self) -> TopicPartition:
        """The partition it came from."""
        return TopicPartition(self.topic, self.partition)

    @property
    def next_offset(self) -> int:
        """The offset to go on from once this message is done."""
        return self.offset + 1

    def header(self, name: str) -> bytes | None:
        """The last value of the header `name`, in any case, or None."""
        wanted = name.lower()
        return next((value for key, value in reversed(self.headers) if key.lower() == wanted), None)
