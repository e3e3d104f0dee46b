"""A trace store in memory: for tests, the demo and backtests."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from mlflow.entities import Assessment, Trace, TraceData, TraceInfo

from monitor.traces.errors import TraceRejected
from monitor.traces.upsert import at_home, not_overridden, with_ids


class MemoryTraceStore:
    """Traces in a dictionary, in one experiment."""

    def __init__(self, experiment_id: str = "0") -> None:
        self._experiment_id = experiment_id
        self._lock = threading.Lock()
        self._traces: dict[str, Trace] = {}

    def put(self, trace: Trace, assessments: Sequence[Assessment] = ()) -> None:
        """Store a trace with its spans, its own assessments and those given."""
        with self._lock:
            self._upsert(trace, assessments)

    def put_many(self, traces: Sequence[Trace]) -> None:
        """Store several traces."""
        with self._lock:
            for trace in traces:
                self._upsert(trace, ())

    def publish(self, trace_id: str, assessments: Sequence[Assessment]) -> None:
        """Add assessments to a trace that is stored.

        Raises:
            TraceRejected: there is no such trace, or an assessment has no id.
        """
        with self._lock:
            stored = self._traces.get(trace_id)
            if stored is None:
                raise TraceRejected(f"there is no trace {trace_id} to assess")
            named = with_ids(trace_id, assessments)
            info = replace(stored.info, assessments=_merged(stored.info.assessments, named))
            self._traces[trace_id] = Trace(info=info, data=stored.data)

    def get(self, trace_id: str) -> Trace | None:
        """The trace, or None."""
        with self._lock:
            return self._traces.get(trace_id)

    def infos(self, trace_ids: Collection[str]) -> Mapping[str, TraceInfo]:
        """Those that are there, without their spans."""
        with self._lock:
            return {each: self._traces[each].info for each in trace_ids if each in self._traces}

    def probe(self) -> None:
        """Return: memory is always there."""

    def takes_writes(self) -> bool:
        """Memory always does."""
        return True

    def ids(self) -> list[str]:
        """The ids of all traces, in the order in which they came."""
        with self._lock:
            return list(self._traces)

    def _upsert(self, trace: Trace, assessments: Sequence[Assessment]) -> None:
        trace_id = trace.info.trace_id
        stored = self._traces.get(trace_id)
        home = (stored.info.experiment_id if stored is not None else None) or self._experiment_id
        info = at_home(trace.info, home, assessments)
        spans = {span.span_id: span for span in trace.data.spans}
        if stored is not None:
            info = replace(
                info,
                tags=stored.info.tags | info.tags,
                trace_metadata=stored.info.trace_metadata | info.trace_metadata,
                assessments=_merged(stored.info.assessments, info.assessments),
            )
            spans = {span.span_id: span for span in stored.data.spans} | spans
        self._traces[trace_id] = Trace(info=info, data=TraceData(spans=list(spans.values())))


def _merged(stored: Sequence[Assessment], new: Sequence[Assessment]) -> list[Assessment]:
    by_id = {assessment.assessment_id or "": assessment for assessment in stored}
    kept = {assessment.assessment_id or "": assessment for assessment in not_overridden(new, by_id)}
    return list((by_id | kept).values())
