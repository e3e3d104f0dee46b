"""One scorer on one trace: the judge call, the verdict row, and when to give up."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow.entities import Trace
from structlog.contextvars import bound_contextvars
from structlog.typing import FilteringBoundLogger

from monitor.clock import Clock
from monitor.errors import ServiceUnavailable
from monitor.ledger.intake import Intake
from monitor.ledger.rows import DecisionRow, TraceRow, VerdictRow
from monitor.metrics import ProcessMetrics
from monitor.pipeline.blame import Failures, JudgeRecord
from monitor.pipeline.patience import Patience
from monitor.spend.spending import Reservation, SpendExhausted, Spending, Usage
from scorers.errors import JudgeUnavailable
from scorers.suite import ScoreOutcome, ScorerSuite, assessment_id
from scorers.values import Verdict


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Turns a trace that is owed a verdict into a verdict row. Threads may share it.

    `canary` asks a scorer's judge something short: where that is answered, an endpoint that fails on a trace again and
    again fails because of the trace. `asking` are the scorers of kind code that have asked the judge.
    """

    suite: ScorerSuite
    intake: Intake
    metrics: ProcessMetrics
    patience: Patience
    clock: Clock
    spending: Spending
    canary: Callable[[str], None]
    log: FilteringBoundLogger
    record: JudgeRecord = field(default_factory=JudgeRecord)
    asking: set[str] = field(default_factory=set)

    def judge(self, trace: Trace, row: TraceRow, decision: DecisionRow) -> None:
        """Judge and record; the first verdict of a (trace, scorer) stands, so that a second one counts nowhere.

        Raises:
            SpendExhausted: the day's spend leaves no room; the verdict stays owed.
            JudgeUnavailable | LedgerUnavailable: the daemon stops before the service answered.
        """
        with bound_contextvars(trace_id=row.trace_id, scorer=decision.subject):
            outcome = self._score(decision.subject, trace)
            verdict = _verdict_row(_Judgement.of(outcome), row, decision, self.clock.now_ms())
            if self.patience.call("ledger", lambda: self.intake.record(verdict)):
                self._report(outcome, row, decision)

    def _report(self, outcome: ScoreOutcome, row: TraceRow, decision: DecisionRow) -> None:
        label = outcome.verdict.label
        segments = [f"{key}={value}" for key, value in row.segments.items()]
        self.metrics.verdict(outcome.scorer, label, decision.probability, segments)
        self.metrics.scored(outcome.scorer, outcome.duration_s)
        self.metrics.judge_tokens(outcome.scorer, outcome.input_tokens, outcome.output_tokens)
        if label == "error":
            # Without the reason, which may quote the trace: `tracewatch explain` shows it to who may read traces.
            self.log.warning("no verdict: the scorer failed", version=outcome.version)
        self.log.debug("verdict", label=label, probability=decision.probability, duration_s=outcome.duration_s)

    def record_missing(
        self,
        row: TraceRow,
        decision: DecisionRow,
        words: str = "the trace was deleted from MLflow before it was judged",
    ) -> None:
        """Record an error verdict where the trace to judge cannot be had from MLflow any more, for the reason given.

        Raises:
            LedgerUnavailable: the daemon stops before the ledger answered.
        """
        scorer = self.suite[decision.subject]
        judgement = _Judgement(
            scorer=scorer.name,
            version=scorer.version,
            assessment_id=assessment_id(row.trace_id, scorer.name, scorer.version),
            verdict=Verdict(label="error", value=None, reason=words),
        )
        verdict = replace(_verdict_row(judgement, row, decision, self.clock.now_ms()), published=True)
        self.patience.call("ledger", lambda: self.intake.record(verdict))

    def _score(self, scorer: str, trace: Trace) -> ScoreOutcome:
        if self.suite[scorer].kind == "code" and (outcome := self._score_by_code(scorer, trace)) is not None:
            return outcome
        failures = Failures(self.record, scorer, lambda: self._canary_answers(scorer))
        try:
            outcome = self.patience.call("judge", lambda: self._ask(scorer, trace), until=failures.is_the_trace)
        except JudgeUnavailable as outage:
            if not failures.given_up:
                raise
            return self.suite.give_up(scorer, trace, outage)
        self.record.note(scorer, failures.own)
        return outcome

    def _ask(self, scorer: str, trace: Trace) -> ScoreOutcome:
        """One try, within the day's spend: what it costs is set aside before, and settled whatever comes of it."""
        reservation = self.spending.reserve(scorer)
        try:
            outcome = self.suite.score(scorer, trace)
        except JudgeUnavailable as outage:
            self._settle(reservation, Usage.of(outage))
            raise
        self._settle(reservation, Usage.of(outcome))
        return outcome

    def _settle(self, reservation: Reservation, usage: Usage) -> None:
        # With the answer in hand: asking again because the ledger is away would be paid for twice.
        dollars = self.patience.call("ledger", lambda: self.spending.settle(reservation, usage))
        if dollars:
            self.metrics.judge_cost(reservation.scorer, dollars)

    def _canary_answers(self, scorer: str) -> bool:
        """Whether the judge answers something short, within the day's spend."""
        try:
            reservation = self.spending.reserve(scorer, "canary")
        except (SpendExhausted, ServiceUnavailable):
            return False
        try:
            self.canary(scorer)
            unmetered, answers = 1, True
        except JudgeUnavailable as outage:
            unmetered, answers = outage.unmetered, False
        with contextlib.suppress(ServiceUnavailable):
            self.spending.settle(reservation, Usage(calls=1, unmetered=unmetered))
        return answers

    def _score_by_code(self, scorer: str, trace: Trace) -> ScoreOutcome | None:
        """The outcome of a scorer that need not ask the judge, whose success says nothing about the judge's health.

        One whose code asks the judge after all is found out by its first call, which is paid for afterwards; from then
        on it waits for the day's spend like any other. None where the judge is away: then it waits for that.
        """
        known = scorer in self.asking
        outcome: ScoreOutcome | None = None
        reserve = self.spending.reserve if known else self.spending.nothing_reserved
        reservation = self.patience.call("ledger", lambda: reserve(scorer))
        try:
            outcome = self.suite.score(scorer, trace)
            usage = Usage.of(outcome)
        except JudgeUnavailable as outage:
            usage = Usage.of(outage)
        if known or outcome is None or usage.calls:
            self.asking.add(scorer)
            self._settle(reservation, usage)
        return outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judgement:
    """What a verdict row takes from a scorer's outcome."""

    scorer: str
    version: str
    assessment_id: str
    verdict: Verdict
    feedback: Mapping[str, Any] = field(default_factory=dict)
    rationale: str | None = None
    duration_s: float = 0.0

    @classmethod
    def of(cls, outcome: ScoreOutcome) -> "_Judgement":
        feedback: Mapping[str, Any] = outcome.feedback.to_dictionary()  # type: ignore[no-untyped-call]
        return cls(
            scorer=outcome.scorer,
            version=outcome.version,
            assessment_id=outcome.feedback.assessment_id or "",
            verdict=outcome.verdict,
            feedback=feedback,
            rationale=outcome.feedback.rationale,
            duration_s=outcome.duration_s,
        )


def _verdict_row(judgement: _Judgement, row: TraceRow, decision: DecisionRow, now_ms: int) -> VerdictRow:
    return VerdictRow(
        trace_id=row.trace_id,
        scorer=judgement.scorer,
        scorer_version=judgement.version,
        assessment_id=judgement.assessment_id,
        label=judgement.verdict.label,
        value=judgement.verdict.value,
        feedback=judgement.feedback,
        rationale=judgement.rationale,
        error=judgement.verdict.reason,
        probability=decision.probability,
        reason=decision.reason,
        segments=row.segments,
        app_version=row.app_version,
        session_id=row.session_id,
        event_time_ms=row.event_time_ms,
        topic=row.topic,
        partition=row.partition,
        offset=row.offset,
        judged_at_ms=now_ms,
        duration_s=judgement.duration_s,
    )
