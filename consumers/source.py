"""What the daemon needs of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from consumers.messages import Message, TopicPartition


@dataclass(frozen=True, kw_only=True, slots=True)
class PolledBatch:
    """What one poll brought. Act on `revoked` and `leaving` first, then on `assigned`, then on `messages`.

    A partition can be in `revoked` and in `assigned`: it was lost and came back. No message of a partition in
    `assigned` is in the same batch: `seek` to where the ledger stands before the next poll, or go on from the
    committed position.
    """

    messages: tuple[Message, ...] = ()
    assigned: tuple[TopicPartition, ...] = ()
    leaving: tuple[TopicPartition, ...] = ()
    """Wanted by another member, and still ours: they bring nothing more; finish, commit, and `release` them soon."""
    revoked: tuple[TopicPartition, ...] = ()
    """Not ours any more, without notice."""
    out_of_range: tuple[TopicPartition, ...] = ()
    """The next offset is not in the stream: retention has overtaken it, or it was made anew. Paused; `seek` them."""


class TraceSource(Protocol):
    """A partitioned stream of messages, used from one thread.

    Every method but `close`, `pause`, `resume` and `release` raises `SourceUnavailable` when the stream is away;
    nothing is lost by calling again.
    """

    def start(self) -> None:
        """Connect and join. Raises `SourceUnavailable` with the cause; can be called again."""
        ...

    def poll(self, timeout_s: float) -> PolledBatch:
        """Wait up to `timeout_s` seconds for something to report; an empty batch when there was nothing."""
        ...

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on from `offset` at the next poll. Does nothing for a partition that is not ours (any more)."""
        ...

    def release(self, tps: Iterable[TopicPartition]) -> None:
        """Let others have partitions that a poll reported as leaving."""
        ...

    def committed(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Committed next offsets; a partition without one is left out."""
        ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit next offsets; partitions neither ours nor leaving are left out. Raises `OwnershipLost`."""
        ...

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Bring no messages of these partitions until `resume`; membership is kept by going on polling."""
        ...

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """Bring messages of these partitions again."""
        ...

    def bounds(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """First offset that is still there and the offset after the last: what retention has left."""
        ...

    def lag(self) -> Mapping[TopicPartition, int]:
        """Messages between our position and the end, by partition of ours, as of the last polls and probe."""
        ...

    def probe(self) -> None:
        """Ask the stream whether it is there. Raises `SourceUnavailable` with the cause."""
        ...

    def close(self) -> None:
        """Leave the group and let go. Never raises because the stream is away."""
        ...
