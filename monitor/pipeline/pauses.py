"""Which of our partitions bring nothing for now."""

from collections.abc import Iterable

from consumers.messages import TopicPartition
from consumers.source import TraceSource


class Pauses:
    """Remembers what is paused, and tells the source only what changes. Used by the loop's thread alone."""

    def __init__(self, source: TraceSource) -> None:
        self._source = source
        self._paused: set[TopicPartition] = set()

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """Pause partitions, whatever was known of them: one that comes back from another member is not paused."""
        if paused := tuple(partitions):
            self._source.pause(paused)
            self._paused.update(paused)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are not ours any more."""
        self._paused.difference_update(partitions)

    def become(self, wanted: set[TopicPartition], ours: set[TopicPartition]) -> None:
        """Of `ours` pause exactly those that are wanted; others stay as they are."""
        self.add(wanted - self._paused)
        if resumed := (ours & self._paused) - wanted:
            self._source.resume(resumed)
            self._paused -= resumed
