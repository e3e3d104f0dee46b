"""Work in hand: what the workers have to do, how much of it there is, and what comes back."""

import queue
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from consumers.messages import Message, TopicPartition
from monitor.pipeline.arrivals import size_of
from monitor.pipeline.quarantine import Seen
from monitor.pipeline.workers import Workers

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """A message in hand; the epoch tells today's ownership of its partition from an earlier one."""

    message: Message
    epoch: int
    seen: Seen | None = None

    @property
    def ownership(self) -> tuple[TopicPartition, int]:
        """The partition, and which time it is ours."""
        return self.message.topic_partition, self.epoch


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished(Generic[R]):
    """Work that came back: its result, or its error, or neither where it was abandoned before it began."""

    begun: Begun
    result: R | None = None
    error: BaseException | None = None


class InFlight(Generic[R]):
    """Hands work to threads and counts it until it is collected. Used by the loop's thread alone."""

    def __init__(self, workers: int) -> None:
        self._workers = Workers(workers, "score")
        self._finished: queue.SimpleQueue[Finished[R]] = queue.SimpleQueue()
        self._of: Counter[tuple[TopicPartition, int]] = Counter()
        self._abandoned: set[tuple[TopicPartition, int]] = set()
        self.events = 0
        """Messages in hand."""
        self.size = 0
        """Bytes of the messages in hand."""

    def submit(self, begun: Begun, work: Callable[[], R]) -> None:
        """Do the work as soon as a thread is free."""
        self._of[begun.ownership] += 1
        self.events += 1
        self.size += size_of(begun.message)
        self._workers.submit(lambda: self._finished.put(self._run(begun, work)))

    def _run(self, begun: Begun, work: Callable[[], R]) -> Finished[R]:
        if begun.ownership in self._abandoned:
            return Finished(begun=begun)
        try:
            return Finished(begun=begun, result=work())
        except BaseException as error:  # noqa: BLE001 - the loop's thread raises it
            return Finished(begun=begun, error=error)

    def collect(self, wait_s: float = 0.0) -> list[Finished[R]]:
        """What came back since the last time; waits up to `wait_s` seconds for something."""
        found: list[Finished[R]] = []
        try:
            if wait_s > 0:
                found.append(self._finished.get(timeout=wait_s))
            while True:
                found.append(self._finished.get_nowait())
        except queue.Empty:
            pass
        for finished in found:
            self._account(finished.begun)
        return found

    def of(self, partition: TopicPartition, epoch: int) -> int:
        """How many messages of a partition are in hand."""
        return self._of[partition, epoch]

    def abandon(self, partition: TopicPartition, epoch: int) -> None:
        """Begin no further work of this ownership; what a thread is at goes on."""
        if self._of[partition, epoch]:
            self._abandoned.add((partition, epoch))

    def stop(self) -> None:
        """Begin nothing more; what is under way goes on and is not waited for."""
        self._workers.stop()

    def _account(self, begun: Begun) -> None:
        self.events -= 1
        self.size -= size_of(begun.message)
        self._of[begun.ownership] -= 1
        if not self._of[begun.ownership]:
            del self._of[begun.ownership]
            self._abandoned.discard(begun.ownership)
