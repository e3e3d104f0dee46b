"""The partitions that are ours, how far each is done, and both of the places that know it: the ledger and Kafka."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from consumers.errors import OwnershipLost
from consumers.messages import Message, TopicPartition
from consumers.offsets import Advance, OffsetTracker
from consumers.source import TraceSource
from monitor.errors import MonitorError
from monitor.ledger.positions import OutcomeKey, Positions
from monitor.pipeline.effects import Outcomes


class PositionBeyondEnd(MonitorError):
    """The ledger's position is beyond the partition's end: the topic is another one than the ledger knows."""


# What a partition has finished behind something slow is not repeated by more than this when the process dies.
_MOST_WAITING = 50_000

Tally = tuple[OutcomeKey, ...]
"""The outcomes of one event."""


@dataclass(kw_only=True, slots=True)
class _Owned:
    tracker: OffsetTracker[Tally]
    epoch: int
    unsettled: Advance[Tally] | None = None
    is_leaving: bool = False
    is_astray: bool = False
    is_held_up: bool = False

    @property
    def waiting(self) -> int:
        return self.tracker.waiting + (self.unsettled.outcomes.total() if self.unsettled else 0)


class Watermarks:
    """Moves each partition's watermark over what is finished. Used by the loop's thread alone.

    Nothing here waits for a service that is away: what raises is called again later and goes on where it stopped.
    """

    def __init__(self, source: TraceSource, positions: Positions, log: FilteringBoundLogger) -> None:
        self._source = source
        self._positions = positions
        self._log = log
        self._owned: dict[TopicPartition, _Owned] = {}
        self._expected: set[TopicPartition] = set()
        self._to_commit: dict[TopicPartition, int] = {}
        self._epoch = 0

    @property
    def partitions(self) -> tuple[TopicPartition, ...]:
        """Those whose messages are taken: open, ours to keep, and with a position that the stream has."""
        return tuple(tp for tp, owned in self._owned.items() if not owned.is_leaving and not owned.is_astray)

    @property
    def waiting(self) -> int:
        """Events that were begun and are not behind a watermark of the ledger."""
        return sum(owned.waiting for owned in self._owned.values())

    def epoch(self, partition: TopicPartition) -> int | None:
        """Which ownership of the partition is today's; None where it is not open."""
        owned = self._owned.get(partition)
        return None if owned is None else owned.epoch

    def held_up(self) -> set[TopicPartition]:
        """Partitions of which so much waits behind something slow that no more should come, until half of it is done.

        Memory does not grow with it, but what a crash repeats does.
        """
        for owned in self._owned.values():
            owned.is_held_up = owned.waiting > (_MOST_WAITING // 2 if owned.is_held_up else _MOST_WAITING)
        return {tp for tp, owned in self._owned.items() if owned.is_held_up}

    def leave(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin nothing more of partitions that another member wants; what is in hand still counts."""
        for partition in partitions:
            self._expected.discard(partition)
            if (owned := self._owned.get(partition)) is not None:
                owned.is_leaving = True

    def astray(self, partition: TopicPartition) -> None:
        """Begin nothing more of a partition whose position has left the stream; `reopen` it once nothing is in hand."""
        if (owned := self._owned.get(partition)) is not None:
            owned.is_astray = True

    def reopen_astray(self) -> None:
        """Expect those partitions again that went astray and have settled everything that was begun."""
        done = [tp for tp, owned in self._owned.items() if owned.is_astray and not owned.waiting]
        self.expect(done)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget partitions that are another member's now; work in hand for them counts for nothing here."""
        for partition in partitions:
            self._expected.discard(partition)
            self._to_commit.pop(partition, None)
            owned = self._owned.pop(partition, None)
            if owned is not None:
                self._log.info("partition revoked", partition=str(partition), in_flight=owned.tracker.in_flight)

    def expect(self, partitions: Iterable[TopicPartition]) -> None:
        """Note partitions that are ours and have to be opened before anything of them is taken."""
        for partition in partitions:
            self._owned.pop(partition, None)
            self._to_commit.pop(partition, None)
            self._expected.add(partition)

    def open_expected(self) -> None:
        """Begin the expected partitions where the ledger and Kafka say.

        Raises:
            LedgerUnavailable | SourceUnavailable: those not opened stay expected.
            PositionBeyondEnd: the topic is not the one that the ledger knows.
        """
        if not self._expected:
            return
        expected = sorted(self._expected)
        committed = self._source.committed(expected)
        bounds = self._source.bounds(expected)
        for partition in expected:
            self._open(partition, committed.get(partition), bounds[partition])

    def _open(self, partition: TopicPartition, committed: int | None, bounds: tuple[int, int]) -> None:
        first, end = bounds
        stands = self._positions.open(*partition, first if committed is None else committed)
        wanted = max(stands, committed or 0)
        if wanted > end:
            raise PositionBeyondEnd(
                f"the next offset of {partition} is {wanted}, and the partition ends at {end}: the topic was made anew "
                "or cut. To take in what it holds now: `tracewatch reset -c FILE --to beginning`"
            )
        start = max(wanted, first)
        if start > stands and not self._skip(partition, stands, start, lost=start - wanted):
            return  # another owner has just moved it: look again
        self._epoch += 1
        tracker: OffsetTracker[Tally] = OffsetTracker()
        tracker.start(start)
        self._source.seek(partition, start)
        self._owned[partition] = _Owned(tracker=tracker, epoch=self._epoch)
        self._expected.discard(partition)
        if start > (first if committed is None else committed):
            self._to_commit[partition] = start
        self._log.info("partition assigned", partition=str(partition), offset=start)

    def _skip(self, partition: TopicPartition, stands: int, start: int, *, lost: int) -> bool:
        """Move the ledger's position where it is behind Kafka's: `lost` events were deleted by retention unread."""
        self._log.warning("position skipped", partition=str(partition), ledger=stands, offset=start, lost=lost)
        return self._positions.skip(*partition, stands, start, lost)

    def begin(self, message: Message) -> int | None:
        """Take a message up; its epoch, to finish it with, or None where it must not be done (again)."""
        owned = self._owned.get(message.topic_partition)
        if owned is None or owned.is_leaving or owned.is_astray:
            return None
        return owned.epoch if owned.tracker.begin(message.offset) else None

    def finish(self, partition: TopicPartition, epoch: int, offset: int, outcomes: Outcomes) -> None:
        """A message is done; of no effect where the partition has been lost since."""
        owned = self._owned.get(partition)
        if owned is not None and owned.epoch == epoch:
            owned.tracker.finish(offset, tuple([(scorer, *what) for scorer, what in outcomes.items()]))

    def settle(self) -> tuple[TopicPartition, ...]:
        """Move the ledger's watermarks over all that is finished.

        Returns:
            Partitions that another owner has moved: expect them again, what they bring until then is old.

        Raises:
            LedgerUnavailable: what was not settled stays so, for the next call.
        """
        return tuple(partition for partition, owned in self._owned.items() if not self._settle(partition, owned))

    def _settle(self, partition: TopicPartition, owned: _Owned) -> bool:
        advance = owned.unsettled = owned.unsettled or owned.tracker.advance()
        if advance is None:
            return True
        step = (*partition, advance.from_offset, advance.to_offset)
        if not self._positions.advance(*step, _counts(advance), advance.outcomes.total()):
            stands = self._positions.read(*partition)
            # An earlier call may have been committed although its answer was lost.
            if stands != advance.to_offset:
                self._log.warning("another owner moved the watermark", partition=str(partition), offset=stands)
                return False
        owned.unsettled = None
        self._to_commit[partition] = advance.to_offset
        return True

    def commit(self) -> None:
        """Tell Kafka, whose offsets are a projection of the ledger's positions.

        Raises:
            SourceUnavailable: the next call tells it all the same.
        """
        if not self._to_commit:
            return
        try:
            self._source.commit(self._to_commit)
        except OwnershipLost as lost:
            # The next poll says which partitions are gone; those that stay, after a rebalance, are told again.
            self._log.warning("commit refused", cause=str(lost))
        else:
            self._to_commit = {}


def _counts(advance: Advance[Tally]) -> Mapping[OutcomeKey, int]:
    counts: Counter[OutcomeKey] = Counter()
    for tally, events in advance.outcomes.items():
        for key in tally:
            counts[key] += events
    return counts
