"""The decisions on one event: the settings' rates, scaled by the budget that the whole group shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from consumers.events import TraceEvent
from monitor.labels.drawing import draw
from monitor.ledger.budget import Budget
from monitor.ledger.rows import DecisionRow
from monitor.sampling import SamplingSettings, TraceFacts, budget_factor, decide, ruled_rate, unruled_rate

_MINUTE_MS = 60_000
_SEGMENT_CHARS = 100
_DEMAND_MINUTES = 5
# Demand is counted in thousandths of a call, so that small rates add up exactly in an integer column.
_DEMAND_UNIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What may keep a trace: a scorer, or the dataset."""

    name: str
    kind: Literal["judge", "code", "dataset"]
    rate: float | None


class Sampler:
    """Decides what keeps an event. Used by the loop's thread alone."""

    def __init__(
        self, settings: SamplingSettings, subjects: Sequence[Subject], budget: Budget, label_rate: float = 0.0
    ) -> None:
        """`label_rate` is the share of what a judge keeps that is drawn for people to label."""
        self._settings = settings
        self._label_rate = label_rate
        self._subjects = tuple(subjects)
        self._budget = budget
        self._demand: dict[int, dict[str, int]] = {}

    def decide(self, event: TraceEvent, arrived_ms: int) -> tuple[DecisionRow, ...]:
        """One decision a subject, kept or not, and one more for a trace that is drawn for labelling.

        `arrived_ms` is the Kafka timestamp of the event, whose minute names the budget's factor.

        Raises:
            LedgerUnavailable: the budget's factor could not be read.
        """
        facts = _facts(event)
        minute = arrived_ms // _MINUTE_MS
        # The rules look at the trace alone: once for all subjects.
        ruled = ruled_rate(facts, self._settings)
        rates = [ruled or unruled_rate(self._settings, subject.rate) for subject in self._subjects]
        decisions = tuple(
            self._decide_for(subject, rate, reason, event.trace_id, minute)
            for subject, (rate, reason) in zip(self._subjects, rates, strict=True)
        )
        # Only now: while the ledger is away an event is decided again and again, and is one demand all the same.
        self._note_demand(minute, [rate for rate, _ in rates])
        return (*decisions, *self._draw(event.trace_id, decisions))

    def _draw(self, trace_id: str, decisions: Sequence[DecisionRow]) -> Sequence[DecisionRow]:
        judged = any(
            decision.kept and subject.kind == "judge"
            for subject, decision in zip(self._subjects, decisions, strict=True)
        )
        drawn = draw(trace_id, self._label_rate) if judged else None
        return () if drawn is None else (drawn,)

    def _decide_for(self, subject: Subject, rate: float, reason: str, trace_id: str, minute: int) -> DecisionRow:
        factor = 1.0
        if rate > 0 and self._is_budgeted(subject):
            factor = self._budget.factor(subject.name, minute, lambda: self._proposal(minute))
        decision = decide(trace_id, rate, reason, min_rate=self._settings.min_rate, factor=factor)
        kept_state: Literal["member", "due"] = "member" if subject.kind == "dataset" else "due"
        return DecisionRow(
            subject=subject.name,
            kept=decision.kept,
            probability=decision.probability,
            reason=decision.reason,
            state=kept_state if decision.kept else "left_out",
        )

    def _proposal(self, minute: int) -> float:
        self.flush_demand()
        seen = self._budget.demand(range(minute - _DEMAND_MINUTES, minute))
        calls = sum(sum(by_scorer.values()) for by_scorer in seen.values()) / _DEMAND_UNIT
        return budget_factor(self._settings.judge_calls_per_hour, calls / max(1, len(seen)))

    def _is_budgeted(self, subject: Subject) -> bool:
        return subject.kind == "judge" and self._settings.judge_calls_per_hour is not None

    def _note_demand(self, minute: int, rates: Sequence[float]) -> None:
        for subject, rate in zip(self._subjects, rates, strict=True):
            if rate > 0 and self._is_budgeted(subject):
                by_scorer = self._demand.setdefault(minute, {})
                by_scorer[subject.name] = by_scorer.get(subject.name, 0) + round(rate * _DEMAND_UNIT)

    def flush_demand(self) -> None:
        """Add what was seen since the last time to the group's demand.

        Raises:
            LedgerUnavailable: the ledger did not answer; what was not added yet is kept.
        """
        for minute in sorted(self._demand):
            self._budget.add_demand(minute, self._demand[minute])
            del self._demand[minute]


def _facts(event: TraceEvent) -> TraceFacts:
    return TraceFacts(
        trace_id=event.trace_id,
        name=event.name,
        status=event.status,
        duration_ms=event.duration_ms,
        app_version=event.app_version,
        tags=event.tags,
        evaluation=event.evaluation,
    )


def segments_of(event: TraceEvent, keys: Sequence[str]) -> Mapping[str, str]:
    """The values of the segment keys: `app_version`, `name`, `status`, else a tag; absent ones are left out."""
    own = {"app_version": event.app_version, "name": event.name, "status": event.status}
    found = {key: own.get(key, event.tags.get(key)) for key in keys}
    return {key: value[:_SEGMENT_CHARS] for key, value in found.items() if value}
