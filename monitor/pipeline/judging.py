"""One scorer on one trace: the judge call, the verdict row, and when to give up."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlflow.entities import Trace

from monitor.clock import Clock
from monitor.ledger.intake import Intake
from monitor.ledger.rows import DecisionRow, TraceRow, VerdictRow
from monitor.metrics import ProcessMetrics
from monitor.pipeline.patience import Patience
from scorers.errors import JudgeUnavailable
from scorers.suite import ScoreOutcome, ScorerSuite, assessment_id
from scorers.values import Verdict

_TRIES_WHILE_OTHERS_SUCCEED = 5


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
    """Turns a trace that is owed a verdict into a verdict row. Threads may share it."""

    suite: ScorerSuite
    intake: Intake
    metrics: ProcessMetrics
    patience: Patience
    clock: Clock
    record: _JudgeRecord

    @classmethod
    def of(
        cls, suite: ScorerSuite, intake: Intake, metrics: ProcessMetrics, patience: Patience, clock: Clock
    ) -> "Judging":
        """Judging that has seen no call yet."""
        return cls(suite=suite, intake=intake, metrics=metrics, patience=patience, clock=clock, record=_JudgeRecord())

    def judge(self, trace: Trace, row: TraceRow, decision: DecisionRow) -> None:
        """Judge and record; the first verdict of a (trace, scorer) stands, so that a second one counts nowhere.

        Raises:
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
        failures = _Failures(self.record, scorer)
        try:
            outcome = self.patience.call("judge", lambda: self.suite.score(scorer, trace), until=failures.is_the_trace)
        except JudgeUnavailable as outage:
            if not failures.given_up:
                raise
            return self.suite.give_up(scorer, trace, outage)
        self.record.note(scorer)
        return outcome

    def _score_by_code(self, scorer: str, trace: Trace) -> ScoreOutcome | None:
        """The outcome of a scorer that asks no judge, whose success says nothing about the judge's health."""
        try:
            return self.suite.score(scorer, trace)
        except JudgeUnavailable:
            return None  # its code asks the judge after all: then it waits like any other


class _Failures:
    """Counts the failures of one trace while the same scorer's judge answered for others."""

    def __init__(self, record: _JudgeRecord, scorer: str) -> None:
        self._record = record
        self._scorer = scorer
        self._seen = record.answered(scorer)
        self._failures = 0

    @property
    def given_up(self) -> bool:
        return self._failures >= _TRIES_WHILE_OTHERS_SUCCEED

    def is_the_trace(self) -> bool:
        answered = self._record.answered(self._scorer)
        self._failures += answered > self._seen
        self._seen = answered
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
