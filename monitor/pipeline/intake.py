"""The loop: polls the stream, hands events to workers, and lets each partition's watermark follow what is done."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from consumers.dead_letters import DeadLetterQueue
from consumers.errors import SourceUnavailable
from consumers.events import Event, TraceEvent
from consumers.messages import Message, TopicPartition
from consumers.settings import DeadLetterSettings
from consumers.source import PolledBatch, TraceSource
from monitor.clock import Clock
from monitor.errors import ServiceUnavailable
from monitor.ledger.positions import Positions
from monitor.metrics import ProcessMetrics
from monitor.pipeline.arrivals import Arrivals
from monitor.pipeline.burial import Burial
from monitor.pipeline.effects import Effects, Outcomes
from monitor.pipeline.feedback import FeedbackEffects
from monitor.pipeline.in_flight import Begun, Finished, InFlight
from monitor.pipeline.patience import AWAY, Patience
from monitor.pipeline.pauses import Pauses
from monitor.pipeline.planning import Plan, Planning
from monitor.pipeline.quarantine import Invalid, Letter, Quarantine, TooManyInvalid
from monitor.pipeline.sampler import Sampler
from monitor.pipeline.settings import PipelineSettings
from monitor.pipeline.throttle import Throttle
from monitor.pipeline.watermarks import Watermarks

_POLL_IDLE_S = 0.25
_POLL_BUSY_S = 0.02
_PROBE_EVERY_S = 5.0
_TRY_AGAIN_S = 1.0
_SHARE_OF_HELD_BYTES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class IntakeParts:
    """What the loop works with."""

    source: TraceSource
    dead_letters: DeadLetterQueue
    decode: Callable[[Message], Event]
    is_ours: Callable[[TraceEvent], bool]
    sampler: Sampler
    effects: Effects
    feedback: FeedbackEffects
    positions: Positions
    metrics: ProcessMetrics
    patience: Patience
    clock: Clock
    log: FilteringBoundLogger


class IntakeLoop:
    """The only user of the source and of the watermarks. `run` once, in one thread.

    The loop's thread never waits for the ledger or the judge: while these are away it goes on polling, with partitions
    paused at the limits, so that an outage costs no membership in the consumer group.
    """

    def __init__(
        self,
        parts: IntakeParts,
        settings: PipelineSettings,
        scorers: tuple[str, ...],
        dead_letters: DeadLetterSettings | None = None,
    ) -> None:
        self.lag: Mapping[tuple[str, int], int] = {}
        """How many events the stream was ahead of each partition's reader at the last look."""
        self._parts = parts
        self._settings = settings
        self._marks = Watermarks(parts.source, parts.positions, parts.log)
        self._planning = Planning(
            decode=parts.decode,
            is_ours=parts.is_ours,
            sampler=parts.sampler,
            effects=parts.effects,
            feedback=parts.feedback,
            scorers=scorers,
        )
        self._burial = Burial(
            dead_letters=parts.dead_letters,
            patience=parts.patience,
            metrics=parts.metrics,
            scorers=scorers,
            log=parts.log,
        )
        self._quarantine = _quarantine(dead_letters or DeadLetterSettings(), settings)
        self._throttle = Throttle(events=settings.max_events_in_flight, size=settings.max_bytes_in_flight)
        self._arrivals = Arrivals()
        self._in_flight: InFlight[Outcomes | Invalid] = InFlight(settings.workers)
        self._stop = threading.Event()
        self._pauses = Pauses(parts.source)
        self._leaving: dict[TopicPartition, float] = {}
        self._away: str | None = None
        self._try_again_s = 0.0
        self._next_commit_s = 0.0
        self._next_probe_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, then finish what is in hand within the deadline, commit and leave the group.

        Raises:
            TooManyInvalid: nearly all of a stretch is no trace event; what is in hand was finished as on a stop.
            PositionBeyondEnd: the topic is not the one that the ledger knows.
            MemberFenced: another process has our identity in the group.
            Exception: work failed in a way that is a defect; nothing past it was committed.
        """
        self._stop = stop
        try:
            self._parts.patience.call("kafka", self._parts.source.start)
            try:
                while not stop.is_set():
                    self._turn()
            except TooManyInvalid:
                try:
                    self._drain()
                except AWAY as error:
                    # The reason to stop is the news; what is not committed comes again.
                    self._parts.log.warning("not committed; it comes again", cause=str(error))
                raise
            self._drain()
        except AWAY as error:
            if not stop.is_set():
                raise
            self._parts.log.warning("not committed; it comes again", cause=str(error))
        finally:
            self._in_flight.stop()
            self._parts.source.close()
            self._parts.dead_letters.close()

    def _turn(self) -> None:
        self._receive()
        self._collect()
        now_s = self._parts.clock.monotonic_s()
        if now_s >= self._try_again_s:
            self._proceed(now_s)
        self._let_go_late(now_s)
        self._hold_back()
        if now_s >= self._next_probe_s:
            self._next_probe_s = now_s + _PROBE_EVERY_S
            self._probe()

    def _receive(self) -> None:
        """Poll; whatever fails later, nothing that was polled is forgotten."""
        try:
            batch = self._parts.source.poll(_POLL_BUSY_S if self._in_flight.events else _POLL_IDLE_S)
        except SourceUnavailable as error:
            self._parts.patience.note_down("kafka", error)
            self._stop.wait(_POLL_IDLE_S)
            return
        if batch.revoked or batch.leaving or batch.assigned or batch.out_of_range:
            self._rebalance(batch)
        ours = set(self._marks.partitions)
        self._arrivals.add(message for message in batch.messages if message.topic_partition in ours)

    def _rebalance(self, batch: PolledBatch) -> None:
        self._drop({*batch.revoked, *batch.leaving, *batch.assigned})
        self._forget(batch.revoked)
        deadline_s = self._parts.clock.monotonic_s() + self._settings.revocation_deadline.total_seconds()
        self._marks.leave(batch.leaving)
        self._leaving.update(dict.fromkeys(batch.leaving, deadline_s))
        self._marks.expect(batch.assigned)
        # Nothing of them is of use before the ledger has said where to begin.
        self._pauses.add((*batch.assigned, *batch.out_of_range))
        for partition in batch.out_of_range:
            self._parts.log.warning("position left the stream", partition=str(partition))
            self._marks.astray(partition)
            self._bury(self._quarantine.take(partition))

    def _drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what is not begun, or was and is not done by a thread: it comes again, here or elsewhere."""
        gone = set(partitions)
        self._arrivals.drop(gone)
        self._quarantine.forget(gone)
        for partition in gone:
            if (epoch := self._marks.epoch(partition)) is not None:
                self._in_flight.abandon(partition, epoch)

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._leaving.pop(partition, None)
        self._pauses.forget(partitions)
        self._marks.forget(partitions)

    def _proceed(self, now_s: float) -> None:
        """Do what needs the ledger or an answer of the stream; what fails is tried again in a while."""
        try:
            self._marks.reopen_astray()
            self._marks.open_expected()
            self._take_arrivals(now_s)
            self._bury_what_is_due(now_s)
            idle = [partition for partition in self._leaving if not self._in_hand(partition)]
            if idle or now_s >= self._next_commit_s:
                self._commit()
                self._next_commit_s = now_s + self._settings.commit_every.total_seconds()
            self._let_go(idle)
        except (ServiceUnavailable, SourceUnavailable) as error:
            self._away = "kafka" if isinstance(error, SourceUnavailable) else "ledger"
            self._parts.patience.note_down(self._away, error)
            self._try_again_s = now_s + _TRY_AGAIN_S
        else:
            if self._away is not None:
                self._parts.patience.note_up(self._away)
                self._away = None

    def _take_arrivals(self, now_s: float) -> None:
        while self._in_flight.events < self._settings.max_events_in_flight:
            message = self._arrivals.peek()
            if message is None:
                return
            plan = self._planning.plan(message)
            self._arrivals.pop()
            epoch = self._marks.begin(message)
            if epoch is not None:
                self._take(message, epoch, plan, now_s)

    def _take(self, message: Message, epoch: int, plan: Plan, now_s: float) -> None:
        self._parts.metrics.consumed(message.topic)
        if plan.invalid is not None:
            self._quarantine.note_invalid(Letter(message=message, epoch=epoch, invalid=plan.invalid), now_s)
            return
        seen = self._quarantine.note_valid()
        for decision in plan.decisions:
            self._parts.metrics.sampled("kept" if decision.kept else "left_out", decision.reason)
        if plan.outcomes is not None:
            self._marks.finish(message.topic_partition, epoch, message.offset, plan.outcomes)
        elif plan.work is not None:
            self._in_flight.submit(Begun(message=message, epoch=epoch, seen=seen), plan.work)

    def _bury_what_is_due(self, now_s: float) -> None:
        if self._quarantine.stretch is not None:
            raise TooManyInvalid(self._quarantine.stretch)
        self._bury(self._quarantine.release(now_s))

    def _bury(self, letters: Iterable[Letter]) -> None:
        for letter in letters:
            self._in_flight.submit(Begun(message=letter.message, epoch=letter.epoch), self._burial.work(letter))

    def _collect(self, wait_s: float = 0.0) -> None:
        now_s = self._parts.clock.monotonic_s()
        for finished in self._in_flight.collect(wait_s):
            self._finish(finished, now_s)
        self._parts.metrics.in_flight(self._arrivals.events + self._marks.waiting)

    def _finish(self, finished: Finished[Outcomes | Invalid], now_s: float) -> None:
        begun, result = finished.begun, finished.result
        if finished.error is not None and not (isinstance(finished.error, AWAY) and self._stop.is_set()):
            raise finished.error
        message = begun.message
        if isinstance(result, Invalid):
            if self._marks.epoch(message.topic_partition) == begun.epoch:
                letter = Letter(message=message, epoch=begun.epoch, invalid=result)
                self._quarantine.note_invalid(letter, now_s, begun.seen)
        elif result is not None:
            self._marks.finish(message.topic_partition, begun.epoch, message.offset, result)
        # Without a result it was abandoned, or the daemon stops and a service is away: it stays open, and comes again.

    def _hold_back(self) -> None:
        """Pause every partition at the limits, and one of which too much waits; resume what may go on."""
        closed = self._throttle.is_closed(
            events=self._in_flight.events + self._arrivals.events,
            size=self._in_flight.size + self._arrivals.size + self._quarantine.size,
        )
        ours = set(self._marks.partitions)
        self._pauses.become(ours if closed else ours & self._marks.held_up(), ours)

    def _in_hand(self, partition: TopicPartition) -> int:
        epoch = self._marks.epoch(partition)
        return 0 if epoch is None else self._in_flight.of(partition, epoch)

    def _let_go_late(self, now_s: float) -> None:
        late = [partition for partition, deadline_s in self._leaving.items() if now_s >= deadline_s]
        for partition in late:
            self._parts.log.warning(
                "handed over unfinished", partition=str(partition), in_flight=self._in_hand(partition)
            )
        self._let_go(late)

    def _let_go(self, partitions: Iterable[TopicPartition]) -> None:
        """Give partitions to those who want them; what is done of them is in the ledger and committed."""
        given = list(partitions)
        self._forget(given)
        if given:
            self._parts.source.release(given)

    def _commit(self) -> None:
        self._parts.sampler.flush_demand()
        fenced = self._marks.settle()
        self._drop(fenced)
        self._marks.expect(fenced)
        self._pauses.add(fenced)
        self._marks.commit()
        self._show_lag()

    def _show_lag(self) -> None:
        lag = self._parts.source.lag()
        self.lag = {(topic, partition): behind for (topic, partition), behind in lag.items()}
        self._parts.metrics.lag(self.lag)

    def _probe(self) -> None:
        try:
            self._parts.source.probe()
        except SourceUnavailable as error:
            self._parts.patience.note_down("kafka", error)
        else:
            self._parts.patience.note_up("kafka")
            # Also while the ledger is away and nothing is committed.
            self._show_lag()

    def _drain(self) -> None:
        """Wait for what is in hand, at most until the deadline, and commit what is done."""
        deadline_s = self._parts.clock.monotonic_s() + self._settings.shutdown_deadline.total_seconds()
        self._collect()
        while self._in_flight.events and (left_s := deadline_s - self._parts.clock.monotonic_s()) > 0:
            self._collect(min(left_s, _POLL_IDLE_S))
        if self._in_flight.events:
            self._parts.log.warning("abandoned at the deadline; they come again", events=self._in_flight.events)
        self._commit()


def _quarantine(limits: DeadLetterSettings, settings: PipelineSettings) -> Quarantine:
    return Quarantine(
        stop_share=limits.stop_share,
        stop_after=limits.stop_after,
        most_bytes=settings.max_bytes_in_flight // _SHARE_OF_HELD_BYTES,
        hold_s=limits.hold.total_seconds(),
    )
