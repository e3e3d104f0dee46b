"""Labels that people made in MLflow: the drawn traces are looked at in turn, a part at a time."""

from datetime import timedelta
from typing import Final

from monitor.labels.feedback import Rules, labels_in
from monitor.ledger.label_rows import DrawnTrace
from monitor.ledger.labels import Labels
from monitor.ledger.rows import LeaseToken
from monitor.traces.store import TraceStore

PAGE: Final = 100
PAGES: Final = 5


class LabelReading:
    """Reads again and again, for a label may come or change as long as its trace is in the window.

    Where it stands is kept in memory alone: another lease holder begins anew.
    """

    def __init__(self, labels: Labels, traces: TraceStore, rules: Rules, window: timedelta) -> None:
        self._labels = labels
        self._traces = traces
        self._rules = rules
        self._window_ms = window // timedelta(milliseconds=1)
        self._after: DrawnTrace | None = None

    def read(self, token: LeaseToken | None, now_ms: int) -> int:
        """Look at the next 500 of the drawn traces at most; returns at how many.

        Raises:
            LedgerUnavailable | LeaseLost: the next call goes on.
            TraceStoreUnavailable: likewise.
        """
        looked = 0
        for _ in range(PAGES):
            page = self._labels.drawn(now_ms - self._window_ms, self._after, PAGE)
            self._read(page, token)
            looked += len(page)
            self._after = page[-1] if len(page) == PAGE else None
            if self._after is None:
                break
        return looked

    def _read(self, page: list[DrawnTrace], token: LeaseToken | None) -> None:
        infos = self._traces.infos([each.trace_id for each in page])
        found = [label for info in infos.values() for label in labels_in(info, self._rules)]
        # A trace that somebody deleted keeps the labels it had: its verdicts stand as well.
        self._labels.align(infos, found, token)
