"""A stream and a dead-letter queue in memory, for tests and for trying things out."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from threading import Condition
from typing import TYPE_CHECKING

from consumers.dead_letters import DeadLetter, dead_letter
from consumers.errors import SourceFailed, SourceUnavailable
from consumers.letter_contents import RAW, LetterContents
from consumers.messages import Message, TopicPartition
from consumers.source import PolledBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(kw_only=True)
class MemoryTopic:
    """A topic whose partitions are lists, with one consumer group. `away` plays an outage: set it to its cause.

    `first` is the first offset of each partition that retention has left: raise it to play retention.
    """

    name: str = "traces"
    partitions: int = 3
    away: str | None = None
    logs: list[list[Message]] = field(init=False)
    commits: dict[TopicPartition, int] = field(init=False, default_factory=dict)
    first: list[int] = field(init=False)
    members: list[MemorySource] = field(init=False, default_factory=list)
    holders: dict[TopicPartition, MemorySource] = field(init=False, default_factory=dict)
    changed: Condition = field(init=False, default_factory=Condition)

    def __post_init__(self) -> None:
        self.logs = [[] for _ in range(self.partitions)]
        self.first = [0] * self.partitions
        self._turn = itertools.cycle(range(self.partitions))

    def append(
        self,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: tuple[tuple[str, bytes], ...] = (),
        partition: int | None = None,
        timestamp_ms: int = 0,
    ) -> Message:
        """Add a message to a partition, in turn when none is named."""
        with self.changed:
            chosen = next(self._turn) if partition is None else partition
            log = self.logs[chosen]
            message = Message(
                topic=self.name,
                partition=chosen,
                offset=len(log),
                timestamp_ms=timestamp_ms,
                key=key,
                value=value,
                headers=headers,
            )
            log.append(message)
            self.changed.notify_all()
            return message

    def owner(self, tp: TopicPartition) -> MemorySource | None:
        """The member that a partition should belong to: they take turns. It gets it when its holder lets go."""
        if tp.topic != self.name or not 0 <= tp.partition < self.partitions or not self.members:
            return None
        return self.members[tp.partition % len(self.members)]


class MemorySource:
    """A `TraceSource` on a `MemoryTopic`; several on one topic are members of its group."""

    def __init__(self, topic: MemoryTopic, *, max_poll_records: int = 500) -> None:
        self._topic = topic
        self._max_poll_records = max_poll_records
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._leaving: set[TopicPartition] = set()

    def start(self) -> None:
        """Join the group."""
        self._reach()
        self.close()
        with self._topic.changed:
            self._topic.members.append(self)
            self._topic.changed.notify_all()

    def poll(self, timeout_s: float) -> PolledBatch:
        """What is there, waiting for it up to `timeout_s` seconds; during an outage nothing, as Kafka does."""
        if self not in self._topic.members:
            raise SourceFailed("the source has not been started")
        with self._topic.changed:
            batch = self._next_batch()
            if batch is None:
                self._topic.changed.wait(timeout_s)
                batch = self._next_batch()
        return batch or PolledBatch()

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on from `offset`."""
        if tp in self._positions:
            self._positions[tp] = offset

    def release(self, tps: Iterable[TopicPartition]) -> None:
        """Let others have what is leaving."""
        with self._topic.changed:
            self._let_go(self._leaving.intersection(tps))

    def committed(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Committed next offsets of the group."""
        self._reach()
        return {tp: self._topic.commits[tp] for tp in tps if tp in self._topic.commits}

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit what is ours."""
        self._reach()
        ours = self._positions.keys() | self._leaving
        self._topic.commits.update({tp: at for tp, at in offsets.items() if tp in ours})

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Bring nothing of these partitions."""
        self._paused.update(tp for tp in tps if tp in self._positions)

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """Bring messages of these partitions again."""
        self._paused.difference_update(tps)

    def bounds(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """First and next offset of each partition."""
        self._reach()
        return {tp: (self._topic.first[tp.partition], len(self._topic.logs[tp.partition])) for tp in tps}

    def lag(self) -> Mapping[TopicPartition, int]:
        """Messages between our position and the end."""
        return {tp: max(0, len(self._topic.logs[tp.partition]) - at) for tp, at in self._positions.items()}

    def probe(self) -> None:
        """Raises `SourceUnavailable` during an outage."""
        self._reach()

    def close(self) -> None:
        """Leave the group."""
        with self._topic.changed:
            if self in self._topic.members:
                self._topic.members.remove(self)
            self._let_go({tp for tp, holder in self._topic.holders.items() if holder is self})
        self._positions.clear()
        self._paused.clear()

    def _reach(self) -> None:
        if self._topic.away is not None:
            raise SourceUnavailable(self._topic.away)

    def _next_batch(self) -> PolledBatch | None:
        if self._topic.away is not None:
            return None
        if (moved := self._rebalance()) is not None:
            return moved
        messages: list[Message] = []
        astray: list[TopicPartition] = []
        for tp, at in self._positions.items():
            if tp in self._paused:
                continue
            log = self._topic.logs[tp.partition]
            if not self._topic.first[tp.partition] <= at <= len(log):
                astray.append(tp)
                continue
            found = log[at : at + self._max_poll_records - len(messages)]
            self._positions[tp] = at + len(found)
            messages.extend(found)
        self._paused.update(astray)
        return PolledBatch(messages=tuple(messages), out_of_range=tuple(astray)) if messages or astray else None

    def _rebalance(self) -> PolledBatch | None:
        partitions = {TopicPartition(self._topic.name, number) for number in range(self._topic.partitions)}
        wanted = {tp for tp in partitions if self._topic.owner(tp) is self}
        leaving = self._positions.keys() - wanted
        assigned = {tp for tp in wanted if tp not in self._topic.holders}
        for tp in leaving:
            del self._positions[tp]
            self._paused.discard(tp)
        self._leaving |= leaving
        for tp in assigned:
            self._topic.holders[tp] = self
            self._positions[tp] = self._topic.commits.get(tp, self._topic.first[tp.partition])
        if not assigned and not leaving:
            return None
        return PolledBatch(assigned=tuple(sorted(assigned)), leaving=tuple(sorted(leaving)))

    def _let_go(self, tps: set[TopicPartition]) -> None:
        self._leaving -= tps
        for tp in tps:
            self._topic.holders.pop(tp, None)
        self._topic.changed.notify_all()


class MemoryDeadLetters:
    """A `DeadLetterQueue` that keeps its letters in `letters`; `away` plays an outage: set it to its cause."""

    def __init__(self, contents: LetterContents = RAW) -> None:
        self._contents = contents
        self.letters: list[DeadLetter] = []
        self.away: str | None = None

    def send(self, message: Message, reason: str, detail: str) -> None:
        """Keep the letter. Raises `SourceUnavailable` during an outage."""
        if self.away is not None:
            raise SourceUnavailable(self.away)
        self.letters.append(dead_letter(message, reason, detail, self._contents))

    def flush(self) -> None:
        """Nothing is ever on its way."""

    def close(self) -> None:
        """Nothing to let go."""
