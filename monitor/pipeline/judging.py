"""One scorer on one trace: the judge call, the verdict row, and when to give up."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow.entities import Trace

from monitor.clock import Clock
from monitor.errors import ServiceUnavailable
from monitor.ledger.intake import Intake
from monitor.ledger.rows import DecisionRow, TraceRow, VerdictRow
from monitor.metrics import ProcessMetrics
from monitor.pipeline.patience import Patience
from monitor.spending import Reservation, SpendExhausted, Spending, Usage
from scorers.errors import JudgeUnavailable
from scorers.suite import ScoreOutcome, ScorerSuite, assessment_id
from scorers.values import Verdict

_TRIES = 5
# What may be one trace's doing. That the endpoint has no room, or refuses the key, is nobody's.
_MAY_BE_THE_TRACE = frozenset({"unreachable", "garbled"})


class _JudgeRecord:
    """How many calls of each scorer's judge were answered, so that a trace's fault is told from the judge's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered: dict[str, int] = {}

    def answered(self, scorer: str) -> int:
        with self._lock:
            return self._answered.get(scorer, 0)

    def note(self, scorer: str) -> None:
        with self._lock:
            self._answered[scorer] = self._answered.get(scorer, 0) + 1


@dataclass(frozen=True, kw_only=True)
class Judging:
    """Turns a trace that is owed a verdict into a verdict row. Threads may share it.

    `canary` asks the judge something short: where that is answered, an endpoint that fails on a trace again and again
    fails because of the trace.
    """

    suite: ScorerSuite
    intake: Intake
    metrics: ProcessMetrics
    patience: Patience
    clock: Clock
    spending: Spending
    canary: Callable[[], None]
    record: _JudgeRecord = field(default_factory=_JudgeRecord)

    def judge(self, trace: Trace, row: TraceRow, decision: DecisionRow) -> None:
        """Judge and record; the first verdict of a (trace, scorer) stands, so that a second one counts nowhere.

        Raises:
            SpendExhausted: the day's spend leaves no room; the verdict stays owed.
            JudgeUnavailable | LedgerUnavailable: the daemon stops before the service answered.
        """
        outcome = self._score(decision.subject, trace)
        verdict = _verdict_row(_Judgement.of(outcome), row, decision, self.clock.now_ms())
        if self.patience.call("ledger", lambda: self.intake.record(verdict)):
            segments = [f"{key}={value}" for key, value in row.segments.items()]
            self.metrics.verdict(outcome.scorer, outcome.verdict.label, decision.probability, segments)
            self.metrics.scored(outcome.scorer, outcome.duration_s)
            self.metrics.judge_tokens(outcome.scorer, outcome.input_tokens, outcome.output_tokens)

    def record_missing(self, row: TraceRow, decision: DecisionRow) -> None:
        """Record an error verdict where the trace to judge is no longer in MLflow: it can never be judged.

        Raises:
            LedgerUnavailable: the daemon stops before the ledger answered.
        """
        scorer = self.suite[decision.subject]
        words = "the trace was deleted from MLflow before it was judged"
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
        failures = _Failures(self.record, scorer, lambda: self._canary_answers(scorer))
        try:
            outcome = self.patience.call("judge", lambda: self._ask(scorer, trace), until=failures.is_the_trace)
        except JudgeUnavailable as outage:
            if not failures.given_up:
                raise
            return self.suite.give_up(scorer, trace, outage)
        self.record.note(scorer)
        return outcome

    def _ask(self, scorer: str, trace: Trace) -> ScoreOutcome:
        """One try, within the day's spend: what it costs is set aside before, and settled whatever comes of it."""
        reservation = self.spending.reserve(scorer)
        try:
            outcome = self.suite.score(scorer, trace)
        except JudgeUnavailable as outage:
            self.spending.settle(reservation, Usage(calls=outage.calls))
            raise
        usage = Usage(calls=outcome.calls, input_tokens=outcome.input_tokens, output_tokens=outcome.output_tokens)
        self._settle(reservation, usage)
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
            self.canary()
        except JudgeUnavailable:
            answers = False
        else:
            answers = True
        with contextlib.suppress(ServiceUnavailable):
            self.spending.settle(reservation, Usage(calls=1))
        return answers

    def _score_by_code(self, scorer: str, trace: Trace) -> ScoreOutcome | None:
        """The outcome of a scorer that asks no judge, whose success says nothing about the judge's health."""
        try:
            return self.suite.score(scorer, trace)
        except JudgeUnavailable:
            return None  # its code asks the judge after all: then it waits like any other


class _Failures:
    """Counts the failures of one trace that are its own: the judge answered for others, or answers the canary."""

    def __init__(self, record: _JudgeRecord, scorer: str, canary_answers: Callable[[], bool]) -> None:
        self._record = record
        self._scorer = scorer
        self._canary_answers = canary_answers
        self._seen = record.answered(scorer)
        self._tries = 0
        self._own = 0

    @property
    def given_up(self) -> bool:
        return self._own >= _TRIES

    def is_the_trace(self, error: BaseException | None) -> bool:
        """Whether, after this failure, the trace is to blame."""
        if not isinstance(error, JudgeUnavailable) or error.kind not in _MAY_BE_THE_TRACE:
            return False
        self._tries += 1
        answered = self._record.answered(self._scorer)
        others, self._seen = answered > self._seen, answered
        # Every worker may hold such a trace, so that nobody else is there to be answered.
        self._own += others or (self._tries >= _TRIES and self._canary_answers())
        return self.given_up


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
