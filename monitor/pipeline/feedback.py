"""What feedback causes: a label in the ledger, assessments in MLflow, and a place in the dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from mlflow.entities import Trace
from structlog.contextvars import bound_contextvars
from structlog.typing import FilteringBoundLogger

from consumers.events import FeedbackEvent
from monitor.curation import Curation
from monitor.labels.feedback import FEEDBACK, Rules, assessments_of, label_of_event
from monitor.ledger.label_rows import LabelRow
from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import TraceRow
from monitor.pipeline.effects import Outcomes
from monitor.pipeline.patience import Patience
from monitor.pipeline.refusals import StorePatience
from monitor.traces.errors import TraceRejected
from monitor.traces.redaction import Redaction
from monitor.traces.store import TraceStore

_BATCH = 200
# By then a trace that its feedback has overtaken has come, or never will.
_WAITS_MS = 3 * 24 * 3_600_000
_EVALUATION_METADATA = "mlflow.sourceRun"


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackEffects:
    """Applies feedback. Threads may share it. No event of this kind is scored: it is sampled out for every scorer.

    `shared` says that the topic is that of several applications: feedback names none, so that it is ours only where
    its trace is.
    """

    scorers: tuple[str, ...]
    rules: Rules
    ledger: Ledger
    traces: TraceStore
    redaction: Redaction
    curation: Curation | None
    patience: Patience
    shared: bool
    log: FilteringBoundLogger

    def apply(self, event: FeedbackEvent) -> Outcomes:
        """Keep the label, show it in MLflow if the trace is there, and say what became of the event.

        Raises:
            ServiceUnavailable: the daemon stops first; the event comes again.
        """
        with bound_contextvars(trace_id=event.trace_id):
            return self._apply(event)

    def _apply(self, event: FeedbackEvent) -> Outcomes:
        if event.evaluation:
            return dict.fromkeys(self.scorers, ("sampled_out", "evaluation"))
        if self.shared and self._trace(event.trace_id) is None:
            return dict.fromkeys(self.scorers, ("not_ours", "where"))
        label = label_of_event(event, self.rules, self.redaction)
        self.patience.call("ledger", lambda: self.ledger.labels.record(label))
        self.publish(event.trace_id)
        return dict.fromkeys(self.scorers, ("sampled_out", FEEDBACK))

    def publish_waiting(self, now_ms: int) -> int:
        """Show labels whose traces have come since, or that a crash kept from MLflow; returns of how many traces.

        Raises:
            ServiceUnavailable: the daemon stops before the service answered.
        """
        waiting = self.ledger.labels.traces_waiting(now_ms - _WAITS_MS, _BATCH)
        return sum([self.publish(trace_id) for trace_id in waiting])

    def publish(self, trace_id: str) -> bool:
        """Show in MLflow what people said of a trace; False where it does not have the trace (yet).

        Raises:
            ServiceUnavailable: the daemon stops before the service answered.
        """
        waiting = self.patience.call("ledger", lambda: self.ledger.labels.waiting_of(trace_id))
        if not waiting:
            return False
        store = StorePatience(patience=self.patience, traces=self.traces)
        trace: Trace | None = None
        try:
            trace = store.call(lambda: self.traces.get(trace_id))
            if trace is None:
                return False
            store.call(lambda: self.traces.publish(trace_id, assessments_of(waiting)))
        except TraceRejected as rejected:
            # The labels stand in the ledger; trying again would help nobody.
            self.log.warning("feedback not published", trace_id=trace_id, cause=str(rejected))
        if trace is not None:
            self._promote(trace, waiting)
        self.patience.call("ledger", lambda: self.ledger.labels.mark_published(waiting))
        return True

    def _promote(self, trace: Trace, labels: Sequence[LabelRow]) -> None:
        """Take the trace into the dataset, where it weighs nothing: people chose it for what it is."""
        curation, row = self.curation, self._trace(trace.info.trace_id)
        if curation is None or (row is None and _EVALUATION_METADATA in trace.info.trace_metadata):
            return
        for label in labels:
            expected = {each.name: each.expectation.value for each in assessments_of([label]) if each.expectation}
            self.patience.call("ledger", partial(curation.promote, trace, expected, label.labelled_at_ms))
        if row is not None:
            self.patience.call("ledger", lambda: self.ledger.intake.promote(row, curation.subject, FEEDBACK))

    def _trace(self, trace_id: str) -> TraceRow | None:
        return self.patience.call("ledger", lambda: self.ledger.intake.trace_of(trace_id))
