"""The loop: polls the stream, hands events to workers, and lets each partition's watermark follow what is done."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from consumers.dead_letters import DeadLetterQueue
from consumers.errors import InvalidEvent, MessageRefused, SourceUnavailable
from consumers.events import TraceEvent
from consumers.messages import Message, TopicPartition
from consumers.source import TraceSource
from monitor.clock import Clock
from monitor.errors import ServiceUnavailable
from monitor.ledger.positions import Positions
from monitor.ledger.rows import DecisionRow
from monitor.metrics import ProcessMetrics
from monitor.pipeline.effects import Effects, Outcomes
from monitor.pipeline.patience import AWAY, Patience
from monitor.pipeline.sampler import Sampler
from monitor.pipeline.settings import PipelineSettings
from monitor.pipeline.watermarks import Watermarks
from monitor.pipeline.workers import Workers
from monitor.traces.errors import TraceRejected

_POLL_IDLE_S = 0.25
_POLL_BUSY_S = 0.02
_PROBE_EVERY_S = 5.0
_TRY_AGAIN_S = 1.0
# Events left out are done at once and wait behind one that is being judged: memory for them is bounded as well.
_MOST_WAITING = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finished:
    """Work that came back: the epoch tells work of an earlier ownership of the partition from today's."""

    partition: TopicPartition
    epoch: int
    offset: int
    outcomes: Outcomes | None
    error: BaseException | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """What is to be done for a message: work for a worker, or outcomes that are known already."""

    work: Callable[[], Outcomes] | None = None
    outcomes: Outcomes | None = None
    decisions: Sequence[DecisionRow] = ()


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
    """The only user of the source and of the watermarks. `run` once, in one thread.

    The loop's thread never waits for the ledger: while that is away it goes on polling, with every partition paused,
    so that an outage costs no membership in the consumer group.
    """

    def __init__(self, parts: IntakeParts, settings: PipelineSettings, scorers: tuple[str, ...]) -> None:
        self._parts = parts
        self._settings = settings
        self._scorers = scorers
        self._marks = Watermarks(parts.source, parts.positions, parts.log)
        self._stop = threading.Event()
        self._arrived: deque[Message] = deque()
        self._finished: queue.SimpleQueue[_Finished] = queue.SimpleQueue()
        self._in_flight = 0
        self._paused = False
        self._away: str | None = None
        self._try_again_s = 0.0
        self._next_commit_s = 0.0
        self._next_probe_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, then finish what is in hand within the deadline, commit and leave the group.

        Raises:
            Exception: work failed in a way that is a defect; nothing past it was committed.
        """
        self._stop = stop
        workers = Workers(self._settings.workers, "score")
        try:
            self._parts.patience.call("kafka", self._parts.source.start)
            while not stop.is_set():
                self._turn(workers)
            self._drain()
        except AWAY as error:
            if not stop.is_set():
                raise
            self._parts.log.warning("not committed; it comes again", cause=str(error))
        finally:
            workers.stop()
            self._parts.source.close()
            self._parts.dead_letters.close()

    def _turn(self, workers: Workers) -> None:
        self._receive()
        self._collect()
        now_s = self._parts.clock.monotonic_s()
        if now_s >= self._try_again_s:
            self._proceed(workers, now_s)
        self._hold_back()
        if now_s >= self._next_probe_s:
            self._next_probe_s = now_s + _PROBE_EVERY_S
            self._probe()

    def _receive(self) -> None:
        """Poll; whatever fails later, nothing that was polled is forgotten."""
        try:
            batch = self._parts.source.poll(_POLL_BUSY_S if self._in_flight else _POLL_IDLE_S)
        except SourceUnavailable as error:
            self._parts.patience.note_down("kafka", error)
            self._stop.wait(_POLL_IDLE_S)
            return
        self._marks.revoke(batch.revoked)
        self._marks.expect(batch.assigned)
        self._forget({*batch.revoked, *batch.assigned})
        ours = set(self._marks.partitions)
        self._arrived.extend(message for message in batch.messages if message.topic_partition in ours)
        if batch.assigned:
            # Nothing of them is of use before the ledger has said where to begin.
            self._parts.source.pause(batch.assigned)

    def _forget(self, partitions: set[TopicPartition]) -> None:
        """Drop messages that come again, from where their partition is opened."""
        if partitions:
            self._arrived = deque(each for each in self._arrived if each.topic_partition not in partitions)

    def _proceed(self, workers: Workers, now_s: float) -> None:
        """Do what needs the ledger or an answer of the stream; what fails is tried again in a while."""
        try:
            self._open_expected()
            self._take_arrived(workers)
            if now_s >= self._next_commit_s:
                self._commit()
                self._next_commit_s = now_s + self._settings.commit_every.total_seconds()
        except (ServiceUnavailable, SourceUnavailable) as error:
            self._away = "kafka" if isinstance(error, SourceUnavailable) else "ledger"
            self._parts.patience.note_down(self._away, error)
            self._try_again_s = now_s + _TRY_AGAIN_S
        else:
            if self._away is not None:
                self._parts.patience.note_up(self._away)
                self._away = None

    def _open_expected(self) -> None:
        before = set(self._marks.partitions)
        try:
            self._marks.open_expected()
        finally:
            opened = set(self._marks.partitions) - before
            if opened and not self._paused:
                self._parts.source.resume(opened)

    def _take_arrived(self, workers: Workers) -> None:
        while self._arrived and self._has_room(self._settings.max_events_in_flight):
            message = self._arrived[0]
            plan = self._plan(message)
            self._arrived.popleft()
            epoch = self._marks.begin(message)
            if epoch is not None:
                self._take(message, epoch, plan, workers)

    def _has_room(self, in_flight: int) -> bool:
        return self._in_flight < in_flight and self._marks.waiting < _MOST_WAITING

    def _plan(self, message: Message) -> _Plan:
        try:
            event = self._parts.decode(message)
        except InvalidEvent as invalid:
            reason, detail = invalid.reason, invalid.detail
            return _Plan(work=lambda: self._bury(message, reason, detail))
        if not self._parts.is_ours(event):
            return _Plan(outcomes=dict.fromkeys(self._scorers, ("not_ours", "where")))
        decisions = self._parts.sampler.decide(event, message.timestamp_ms)
        if any(decision.kept for decision in decisions):
            return _Plan(work=lambda: self._apply(message, event, decisions), decisions=decisions)
        return _Plan(outcomes=_left_out(decisions, self._scorers), decisions=decisions)

    def _take(self, message: Message, epoch: int, plan: _Plan, workers: Workers) -> None:
        self._parts.metrics.consumed(message.topic)
        for decision in plan.decisions:
            self._parts.metrics.sampled("kept" if decision.kept else "left_out", decision.reason)
        if plan.outcomes is not None:
            self._marks.finish(message.topic_partition, epoch, message.offset, plan.outcomes)
        elif plan.work is not None:
            self._in_flight += 1
            self._submit(workers, message, epoch, plan.work)

    def _submit(self, workers: Workers, message: Message, epoch: int, work: Callable[[], Outcomes]) -> None:
        def run() -> None:
            outcomes: Outcomes | None = None
            failure: BaseException | None = None
            try:
                outcomes = work()
            except BaseException as error:  # noqa: BLE001 - the loop's thread raises it
                failure = error
            place = message.topic_partition
            self._finished.put(
                _Finished(partition=place, epoch=epoch, offset=message.offset, outcomes=outcomes, error=failure)
            )

        workers.submit(run)

    def _apply(self, message: Message, event: TraceEvent, decisions: tuple[DecisionRow, ...]) -> Outcomes:
        try:
            return self._parts.effects.apply(event, decisions)
        except InvalidEvent as invalid:
            # Spans are read only when they are needed: what is wrong inside of them shows here.
            return self._bury(message, invalid.reason, invalid.detail)
        except TraceRejected as rejected:
            return self._bury(message, "trace_rejected", str(rejected))

    def _bury(self, message: Message, reason: str, detail: str) -> Outcomes:
        position = str(message.position)
        try:
            self._parts.patience.call("kafka", lambda: self._parts.dead_letters.send(message, reason, detail))
        except MessageRefused as refused:
            # It must not stop its partition; its place in the stream is all that is kept of it.
            self._parts.log.warning("dead letter refused", position=position, reason=reason, cause=str(refused))
        self._parts.metrics.dead_lettered(reason)
        self._parts.log.warning("dead letter", position=position, reason=reason)
        return dict.fromkeys(self._scorers, ("dead_lettered", reason))

    def _collect(self) -> None:
        while True:
            try:
                done = self._finished.get_nowait()
            except queue.Empty:
                break
            self._in_flight -= 1
            if done.error is not None and not (isinstance(done.error, AWAY) and self._stop.is_set()):
                raise done.error
            # Without outcomes the daemon stops and the service is away: the event stays open, and comes again.
            if done.outcomes is not None:
                self._marks.finish(done.partition, done.epoch, done.offset, done.outcomes)
        self._parts.metrics.in_flight(self._in_flight)

    def _hold_back(self) -> None:
        limit = self._settings.max_events_in_flight
        if not self._paused and (self._arrived or not self._has_room(limit)):
            self._parts.source.pause(self._marks.partitions)
            self._paused = True
        elif self._paused and not self._arrived and self._has_room(limit // 2 + 1):
            self._parts.source.resume(self._marks.partitions)
            self._paused = False

    def _commit(self) -> None:
        self._parts.sampler.flush_demand()
        fenced = self._marks.settle()
        self._forget(set(fenced))
        self._parts.source.pause(fenced)
        self._marks.commit()
        lag = self._parts.source.lag()
        self._parts.metrics.lag({(topic, partition): behind for (topic, partition), behind in lag.items()})

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
