"""What one event causes, in the order that makes a redelivery repeat projections and never a judge call."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mlflow.entities import Feedback, Trace
from structlog.contextvars import bound_contextvars
from structlog.typing import FilteringBoundLogger

from consumers.events import TraceEvent
from monitor.clock import Clock
from monitor.curation import Curation
from monitor.dataset.records import inputs_digest, inputs_of
from monitor.labels.drawing import tagged
from monitor.ledger.label_rows import LABELS
from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import DecisionRow, TraceRow
from monitor.pipeline.judging import Judging
from monitor.pipeline.patience import Patience
from monitor.pipeline.refusals import StorePatience
from monitor.pipeline.sampler import segments_of
from monitor.spend.spending import SpendExhausted
from monitor.traces.errors import TraceRejected
from monitor.traces.redaction import Redaction
from monitor.traces.store import TraceStore

_MINUTE_MS = 60_000
Outcomes = Mapping[str, tuple[str, str]]
"""Scorer -> (outcome, reason), for the accounting."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectsPolicy:
    """What the configuration says about an event's effects."""

    scorers: tuple[str, ...]
    judges: frozenset[str]
    segments: tuple[str, ...]
    judge_calls_per_hour: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Effects:
    """Applies events. Threads may share it: what must not happen twice is decided in the ledger."""

    policy: EffectsPolicy
    ledger: Ledger
    traces: TraceStore
    redaction: Redaction
    judging: Judging
    curation: Curation | None
    patience: Patience
    clock: Clock
    log: FilteringBoundLogger

    def apply(self, event: TraceEvent, decisions: Sequence[DecisionRow]) -> Outcomes:
        """Take the event all the way to published verdicts, and say what became of it for each scorer.

        Raises:
            ServiceUnavailable | JudgeUnavailable: the daemon stops first; the event comes again.
            TraceRejected: MLflow refuses the trace itself.
        """
        with bound_contextvars(trace_id=event.trace_id):
            return self._apply(event, decisions)

    def stored(self, trace_id: str) -> Trace | None:
        """The trace as MLflow has it, None where it does not.

        Raises:
            TraceRejected: MLflow cannot read it.
            ServiceUnavailable: the daemon stops first.
        """
        return self._store.call(lambda: self.traces.get(trace_id))

    @property
    def _store(self) -> StorePatience:
        return StorePatience(patience=self.patience, traces=self.traces)

    def _apply(self, event: TraceEvent, decisions: Sequence[DecisionRow]) -> Outcomes:
        trace = self.redaction.trace(event.payload.trace())
        row = self._row(event, trace)
        claim = self.patience.call("ledger", lambda: self.ledger.intake.claim(row, decisions))
        if claim.outcome == "duplicate":
            return dict.fromkeys(self.policy.scorers, ("duplicates", "trace_id"))
        shown = tagged(trace, drawn=any(each.subject == LABELS and each.kept for each in claim.decisions))
        try:
            self._store.call(lambda: self.traces.put(shown))
        except TraceRejected:
            # It becomes a dead letter: taken in again after a fix it must not be its own duplicate.
            self.patience.call("ledger", lambda: self.ledger.intake.give_back(row))
            raise
        due = [each for each in claim.decisions if each.state == "due" and self._owes(each.subject, claim.scored)]
        parked = dict.fromkeys(self._park_what_exceeds_the_budget(row.trace_id, due), "budget")
        for decision in due:
            if decision.subject not in parked and not self._judge(trace, row, decision):
                parked[decision.subject] = "spend"
        self._offer_to_dataset(trace, row, claim.decisions)
        self.publish(row.trace_id)
        return self._outcomes(claim.decisions, parked)

    def _judge(self, trace: Trace, row: TraceRow, decision: DecisionRow) -> bool:
        """Judge, or park the verdict where the day's spend leaves no room for it; False if it is parked."""
        try:
            self.judging.judge(trace, row, decision)
        except SpendExhausted as exhausted:
            self.log.info("verdict parked", trace_id=row.trace_id, scorer=decision.subject, cause=str(exhausted))
            self.patience.call("ledger", lambda: self.ledger.intake.park(row.trace_id, [decision.subject]))
            return False
        return True

    def publish(self, trace_id: str) -> None:
        """Show in MLflow what the ledger says of the trace."""
        verdicts = self.patience.call("ledger", lambda: self.ledger.intake.verdicts_of(trace_id))
        if all(verdict.published for verdict in verdicts):
            return
        assessments = [Feedback.from_dictionary(dict(verdict.feedback)) for verdict in verdicts if verdict.feedback]
        try:
            self._store.call(lambda: self.traces.publish(trace_id, assessments))
        except TraceRejected as rejected:
            # Deleted there since, say. The verdicts stand in the ledger; trying again would help nobody.
            self.log.warning("assessments not published", trace_id=trace_id, cause=str(rejected))
        scorers = [verdict.scorer for verdict in verdicts]
        self.patience.call("ledger", lambda: self.ledger.intake.mark_published(trace_id, scorers))

    def _row(self, event: TraceEvent, trace: Trace) -> TraceRow:
        return TraceRow(
            trace_id=event.trace_id,
            source_id=self.redaction.identifier(event.source_id),
            topic=event.position.topic,
            partition=event.position.partition,
            offset=event.position.offset,
            event_time_ms=event.timestamp_ms,
            name=event.name,
            app_version=event.app_version,
            session_id=event.session_id and self.redaction.identifier(event.session_id),
            status=event.status,
            inputs_digest=inputs_digest(inputs_of(trace)),
            segments=segments_of(event, self.policy.segments),
        )

    def _owes(self, subject: str, scored: Collection[str]) -> bool:
        # An event that comes again after a restart may have decisions of scorers that are no longer configured.
        return subject in self.policy.scorers and subject not in scored

    def _park_what_exceeds_the_budget(self, trace_id: str, due: Sequence[DecisionRow]) -> frozenset[str]:
        per_hour = self.policy.judge_calls_per_hour
        judges = [decision.subject for decision in due if decision.subject in self.policy.judges]
        if per_hour is None or not judges:
            return frozenset()
        minute = self.clock.now_ms() // _MINUTE_MS
        granted = self.patience.call("ledger", lambda: self.ledger.budget.reserve_calls(len(judges), minute, per_hour))
        parked = frozenset(judges[granted:])
        if parked:
            self.patience.call("ledger", lambda: self.ledger.intake.park(trace_id, parked))
        return parked

    def _offer_to_dataset(self, trace: Trace, row: TraceRow, decisions: Sequence[DecisionRow]) -> None:
        curation = self.curation
        if curation is None:
            return
        # What feedback has promoted was offered by it, and has no probability to be offered with.
        chosen = [each for each in decisions if each.subject == curation.subject and each.kept and each.probability > 0]
        member = next(iter(chosen), None)
        if member is not None:
            self.patience.call("ledger", lambda: curation.offer(trace, row.segments, member.probability))

    def _outcomes(self, decisions: Sequence[DecisionRow], parked: Mapping[str, str]) -> Outcomes:
        by_subject = {decision.subject: decision for decision in decisions}
        return {scorer: _outcome(by_subject.get(scorer), parked.get(scorer)) for scorer in self.policy.scorers}


def _outcome(decision: DecisionRow | None, parked_for: str | None) -> tuple[str, str]:
    if decision is None or not decision.kept:
        return ("sampled_out", decision.reason if decision else "not_configured")
    if parked_for is not None or decision.state == "parked":
        return ("parked", parked_for or "budget")
    return ("scored", decision.reason)
