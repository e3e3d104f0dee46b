"""What is to be done for a message: nothing, bury it, or take it to its verdicts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from consumers.errors import InvalidEvent
from consumers.events import Event, FeedbackEvent, TraceEvent
from consumers.messages import Message
from monitor.ledger.rows import DecisionRow
from monitor.pipeline.effects import Effects, Outcomes
from monitor.pipeline.feedback import FeedbackEffects
from monitor.pipeline.quarantine import Invalid
from monitor.pipeline.sampler import Sampler
from monitor.traces.errors import TraceRejected


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One of three: outcomes that are known already, work for a worker, or the reason why the message is no event."""

    outcomes: Outcomes | None = None
    work: Callable[[], Outcomes | Invalid] | None = None
    invalid: Invalid | None = None
    decisions: Sequence[DecisionRow] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Planning:
    """Decodes and decides."""

    feedback: FeedbackEffects
    decode: Callable[[Message], Event]
    is_ours: Callable[[TraceEvent], bool]
    sampler: Sampler
    effects: Effects
    scorers: tuple[str, ...]

    def plan(self, message: Message) -> Plan:
        """What is to be done. Nothing has happened yet: it may be asked again.

        Raises:
            LedgerUnavailable: the budget's factor could not be read.
        """
        try:
            event = self.decode(message)
        except InvalidEvent as error:
            return Plan(invalid=Invalid(reason=error.reason, detail=error.detail))
        if isinstance(event, FeedbackEvent):
            return Plan(work=partial(self.feedback.apply, event))
        if not self.is_ours(event):
            return Plan(outcomes=dict.fromkeys(self.scorers, ("not_ours", "where")))
        decisions = self.sampler.decide(event, message.timestamp_ms)
        if any(decision.kept for decision in decisions):
            return Plan(work=lambda: self._apply(event, decisions), decisions=decisions)
        reasons = {decision.subject: decision.reason for decision in decisions}
        outcomes = {scorer: ("sampled_out", reasons[scorer]) for scorer in self.scorers}
        return Plan(outcomes=outcomes, decisions=decisions)

    def _apply(self, event: TraceEvent, decisions: Sequence[DecisionRow]) -> Outcomes | Invalid:
        try:
            return self.effects.apply(event, decisions)
        except InvalidEvent as error:
            # Spans are read only when they are needed: what is wrong inside of them shows here.
            return Invalid(reason=error.reason, detail=error.detail)
        except TraceRejected as rejected:
            return Invalid(reason="trace_rejected", detail=str(rejected))
