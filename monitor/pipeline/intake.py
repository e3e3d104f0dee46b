"""The loop: polls the stream, hands events to workers, and moves each partition's watermark over what is done."""

import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from consumers.dead_letters import DeadLetterQueue
from consumers.errors import InvalidEvent, OwnershipLost, SourceUnavailable
from consumers.events import TraceEvent
from consumers.messages import Message, TopicPartition
from consumers.offsets import Advance, OffsetTracker
from consumers.source import PolledBatch, TraceSource
from monitor.clock import Clock
from monitor.ledger.positions import Positions
from monitor.ledger.rows import DecisionRow
from monitor.metrics import ProcessMetrics
from monitor.pipeline.effects import Effects, Outcomes
from monitor.pipeline.patience import AWAY, Patience
from monitor.pipeline.sampler import Sampler
from monitor.pipeline.settings import PipelineSettings
from monitor.traces.errors import TraceRejected

_POLL_IDLE_S = 0.25
_POLL_BUSY_S = 0.02
_PROBE_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finished:
    """Work that came back: the epoch tells work of an earlier ownership of the partition from today's."""

    partition: TopicPartition
    epoch: int
    offset: int
    outcomes: Outcomes | None
    error: BaseException | None = None


@dataclass(kw_only=True, slots=True)
class _Partition:
    tracker: OffsetTracker[Outcomes]
    epoch: int


@dataclass(frozen=True, kw_only=True, slots=True)
class IntakeParts:
    """What the loop works with."""

    source: TraceSource
    dead_letters: DeadLetterQueue
    decode: Callable[[Message], TraceEvent]
    is_ours: Callable[[TraceEvent], bool]
    sampler: Sampler
    effects: Effects
    positions: Positions
    metrics: ProcessMetrics
    patience: Patience
    clock: Clock
    log: FilteringBoundLogger


class IntakeLoop:
    """The only user of the source and of the trackers. `run` in one thread; `stop` from any."""

    def __init__(self, parts: IntakeParts, settings: PipelineSettings, scorers: tuple[str, ...]) -> None:
        self._parts = parts
        self._settings = settings
        self._scorers = scorers
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._finished: queue.SimpleQueue[_Finished] = queue.SimpleQueue()
        self._in_flight = 0
        self._epoch = 0
        self._paused = False
        self._next_commit_s = 0.0
        self._next_probe_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, then finish what is in hand within the deadline, commit and leave the group.

        Raises:
            Exception: work failed in a way that is a defect; nothing past it was committed.
        """
        pool = ThreadPoolExecutor(self._settings.workers, thread_name_prefix="score")
        try:
            self._parts.patience.call("kafka", self._parts.source.start)
            while not stop.is_set():
                self._turn(pool)
            self._drain()
        except AWAY:
            if not stop.is_set():
                raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._parts.source.close()

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        try:
            batch = self._parts.source.poll(_POLL_BUSY_S if self._in_flight else _POLL_IDLE_S)
            self._take_assignment(batch)
        except SourceUnavailable as error:
            self._parts.patience.note_down("kafka", error)
            return
        for message in batch.messages:
            self._take(message, pool)
        self._collect()
        self._hold_back()
        now_s = self._parts.clock.monotonic_s()
        if now_s >= self._next_commit_s:
            self._next_commit_s = now_s + self._settings.commit_every.total_seconds()
            self._commit()
        if now_s >= self._next_probe_s:
            self._next_probe_s = now_s + _PROBE_EVERY_S
            self._probe()

    def _take_assignment(self, batch: PolledBatch) -> None:
        for partition in batch.revoked:
            owned = self._partitions.pop(partition, None)
            if owned is not None:
                self._parts.log.info("partition revoked", partition=str(partition), in_flight=owned.tracker.in_flight)
        if not batch.assigned:
            return
        committed = self._parts.source.committed(batch.assigned)
        bounds = self._parts.source.bounds(batch.assigned)
        for partition in batch.assigned:
            first = bounds[partition][0] if partition in bounds else 0
            self._own(partition, committed.get(partition, first), first)
        if self._paused:
            self._parts.source.pause(batch.assigned)

    def _own(self, partition: TopicPartition, committed: int, first: int = 0) -> None:
        stands = self._parts.patience.call("ledger", lambda: self._parts.positions.open(*partition, committed))
        start = max(stands, committed, first)
        if start > stands:
            self._skip(partition, stands, start, lost=max(0, first - max(stands, committed)))
        self._epoch += 1
        tracker: OffsetTracker[Outcomes] = OffsetTracker()
        tracker.start(start)
        self._partitions[partition] = _Partition(tracker=tracker, epoch=self._epoch)
        self._parts.source.seek(partition, start)
        self._parts.log.info("partition assigned", partition=str(partition), offset=start)

    def _skip(self, partition: TopicPartition, stands: int, start: int, *, lost: int) -> None:
        """Move the ledger's position where it is behind Kafka's: `lost` events were deleted by retention unread."""
        self._parts.patience.call("ledger", lambda: self._parts.positions.skip(*partition, stands, start, lost))
        self._parts.log.warning("position skipped", partition=str(partition), ledger=stands, offset=start, lost=lost)

    def _take(self, message: Message, pool: ThreadPoolExecutor) -> None:
        owned = self._partitions.get(message.topic_partition)
        if owned is None or not owned.tracker.begin(message.offset):
            return
        self._parts.metrics.consumed(message.topic)
        self._in_flight += 1
        try:
            event = self._parts.decode(message)
        except InvalidEvent as invalid:
            reason, detail = invalid.reason, invalid.detail
            self._submit(pool, message, owned.epoch, lambda: self._bury(message, reason, detail))
            return
        if not self._parts.is_ours(event):
            self._done(message, owned.epoch, dict.fromkeys(self._scorers, ("not_ours", "where")))
            return
        decisions = self._parts.patience.call("ledger", lambda: self._parts.sampler.decide(event, message.timestamp_ms))
        for decision in decisions:
            self._parts.metrics.sampled("kept" if decision.kept else "left_out", decision.reason)
        if any(decision.kept for decision in decisions):
            self._submit(pool, message, owned.epoch, lambda: self._apply(message, event, decisions))
        else:
            self._done(message, owned.epoch, _left_out(decisions, self._scorers))

    def _submit(self, pool: ThreadPoolExecutor, message: Message, epoch: int, work: Callable[[], Outcomes]) -> None:
        def run() -> None:
            try:
                self._done(message, epoch, work())
            except BaseException as error:  # noqa: BLE001 - the loop's thread raises it
                place = message.topic_partition
                self._finished.put(
                    _Finished(partition=place, epoch=epoch, offset=message.offset, outcomes=None, error=error)
                )

        pool.submit(run)

    def _done(self, message: Message, epoch: int, outcomes: Outcomes) -> None:
        self._finished.put(
            _Finished(partition=message.topic_partition, epoch=epoch, offset=message.offset, outcomes=outcomes)
        )

    def _apply(self, message: Message, event: TraceEvent, decisions: tuple[DecisionRow, ...]) -> Outcomes:
        try:
            return self._parts.effects.apply(event, decisions)
        except InvalidEvent as invalid:
            # Spans are read only when they are needed: what is wrong inside of them shows here.
            return self._bury(message, invalid.reason, invalid.detail)
        except TraceRejected as rejected:
            return self._bury(message, "trace_rejected", str(rejected))

    def _bury(self, message: Message, reason: str, detail: str) -> Outcomes:
        self._parts.patience.call("kafka", lambda: self._parts.dead_letters.send(message, reason, detail))
        self._parts.metrics.dead_lettered(reason)
        self._parts.log.warning("dead letter", position=str(message.position), reason=reason)
        return dict.fromkeys(self._scorers, ("dead_lettered", reason))

    def _collect(self) -> None:
        while True:
            try:
                done = self._finished.get_nowait()
            except queue.Empty:
                break
            self._in_flight -= 1
            if done.error is not None:
                if isinstance(done.error, AWAY):
                    continue  # the daemon stops: the event stays unfinished, and comes again
                raise done.error
            owned = self._partitions.get(done.partition)
            if owned is not None and owned.epoch == done.epoch and done.outcomes is not None:
                owned.tracker.finish(done.offset, done.outcomes)
        self._parts.metrics.in_flight(self._in_flight)

    def _hold_back(self) -> None:
        limit = self._settings.max_events_in_flight
        if not self._paused and self._in_flight >= limit:
            self._parts.source.pause(self._partitions)
            self._paused = True
        elif self._paused and self._in_flight <= limit // 2:
            self._parts.source.resume(self._partitions)
            self._paused = False

    def _commit(self) -> None:
        self._parts.patience.call("ledger", self._parts.sampler.flush_demand)
        moved: dict[TopicPartition, int] = {}
        for partition, owned in self._partitions.items():
            advance = owned.tracker.advance()
            if advance is not None and self._settle(partition, owned, advance):
                moved[partition] = advance.to_offset
        if moved:
            self._commit_to_source(moved)
        lag = self._parts.source.lag()
        self._parts.metrics.lag({(topic, partition): behind for (topic, partition), behind in lag.items()})

    def _settle(self, partition: TopicPartition, owned: _Partition, advance: Advance[Outcomes]) -> bool:
        counts = _counts(advance)
        if self._parts.patience.call(
            "ledger",
            lambda: self._parts.positions.advance(
                *partition, advance.from_offset, advance.to_offset, counts, len(advance.outcomes)
            ),
        ):
            return True
        stands = self._parts.patience.call("ledger", lambda: self._parts.positions.read(*partition))
        self._parts.log.warning("another owner moved the watermark", partition=str(partition), offset=stands)
        if stands is not None and stands != advance.to_offset:
            # What we finished beyond the other's watermark was not counted: it is polled again, and repeats no call.
            self._own(partition, stands)
        else:
            owned.tracker.skip_to(advance.to_offset)
        return stands == advance.to_offset

    def _commit_to_source(self, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            self._parts.source.commit(offsets)
        except OwnershipLost as lost:
            self._parts.log.warning("commit refused", cause=str(lost))
        except SourceUnavailable as error:
            # The ledger's position is the one that counts; Kafka's is its projection and follows at the next commit.
            self._parts.patience.note_down("kafka", error)

    def _probe(self) -> None:
        try:
            self._parts.source.probe()
        except SourceUnavailable as error:
            self._parts.patience.note_down("kafka", error)
        else:
            self._parts.patience.note_up("kafka")

    def _drain(self) -> None:
        """Wait for what is in hand, at most until the deadline, and commit what is done."""
        deadline = self._parts.clock.monotonic_s() + self._settings.shutdown_deadline.total_seconds()
        self._collect()
        while self._in_flight and (left := deadline - self._parts.clock.monotonic_s()) > 0:
            try:
                self._finished.put(self._finished.get(timeout=min(left, _POLL_IDLE_S)))
            except queue.Empty:
                continue
            self._collect()
        if self._in_flight:
            self._parts.log.warning("abandoned at the deadline; they come again", events=self._in_flight)
        self._commit()


def _left_out(decisions: tuple[DecisionRow, ...], scorers: tuple[str, ...]) -> Outcomes:
    reasons = {decision.subject: decision.reason for decision in decisions}
    return {scorer: ("sampled_out", reasons[scorer]) for scorer in scorers}


def _counts(advance: Advance[Outcomes]) -> Mapping[tuple[str, str, str], int]:
    return Counter(
        (scorer, outcome, reason) for outcomes in advance.outcomes for scorer, (outcome, reason) in outcomes.items()
    )
