"""The texts of the traces that prove an alert, from MLflow, redacted. A page never waits for them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from mlflow.entities import Trace
from structlog.typing import FilteringBoundLogger

from monitor.delivery.examples import TraceText
from monitor.errors import MonitorError
from monitor.traces.redaction import Redaction
from monitor.traces.store import TraceStore

_KEPT: Final = 256


class ExampleTexts:
    """Inputs and outputs of traces. The last few are kept: a reminder asks MLflow nothing. Threads may share it."""

    def __init__(self, traces: TraceStore, redaction: Redaction, log: FilteringBoundLogger) -> None:
        self._traces = traces
        self._redaction = redaction
        self._log = log
        self._lock = threading.Lock()
        self._known: OrderedDict[str, TraceText] = OrderedDict()

    def of(self, trace_ids: Iterable[str]) -> Mapping[str, TraceText]:
        """Trace id -> its texts; without those that MLflow does not have, or cannot give now."""
        found: dict[str, TraceText] = {}
        for trace_id in trace_ids:
            with self._lock:
                known = self._known.get(trace_id)
            try:
                text = known or self._read(trace_id)
            except MonitorError as error:
                self._log.warning("an alert goes out without its examples' texts", cause=str(error))
                return found
            if text is not None:
                found[trace_id] = text
        return found

    def _read(self, trace_id: str) -> TraceText | None:
        trace = self._traces.get(trace_id)
        if trace is None:
            return None
        text = TraceText(inputs=self._redacted(trace.data.request), outputs=self._redacted(_response_of(trace)))
        with self._lock:
            self._known[trace_id] = text
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return text

    def _redacted(self, document: str | None) -> str | None:
        if document is None:
            return None
        # JSON, as MLflow keeps it: an escape must hide nothing from the patterns.
        return self._redaction.document(document.encode("utf-8", "replace")).decode("utf-8", "replace")


def _response_of(trace: Trace) -> str | None:
    response: str | None = trace.data.response
    return response
