"""Labels that people made in MLflow: its traces are looked at in turn, a part at a time."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from monitor.labels.feedback import Rules, labels_in
from monitor.ledger.label_rows import TraceTime
from monitor.ledger.labels import Labels
from monitor.ledger.rows import LeaseToken
from monitor.traces.store import TraceStore

PAGE: Final = 100
PAGES: Final = 5

Page = Callable[[int, TraceTime | None, int], list[TraceTime]]
"""From when in ms, after which trace, and how many -> the next traces."""


class LabelReading:
    """Reads again and again, for a label may come or change as long as its trace is in the window.

    The drawn traces and all the others are two walks, so that however many the others are, those whose labels count
    do not wait for them. Where they stand is kept in memory alone: another lease holder begins anew.
    """

    def __init__(self, labels: Labels, traces: TraceStore, rules: Rules, window: timedelta) -> None:
        self._labels = labels
        self._traces = traces
        self._rules = rules
        self._window_ms = window // timedelta(milliseconds=1)
        self._walks: tuple[Page, ...] = (labels.drawn, labels.undrawn)
        self._after: list[TraceTime | None] = [None for _ in self._walks]

    def read(self, token: LeaseToken | None, now_ms: int) -> int:
        """Look at the next 500 of the drawn traces at most, and of the others; returns at how many.

        Raises:
            LedgerUnavailable | LeaseLost: the next call goes on.
            TraceStoreUnavailable: likewise.
        """
        return sum(self._walk(place, token, now_ms - self._window_ms) for place in range(len(self._walks)))

    def _walk(self, place: int, token: LeaseToken | None, since_ms: int) -> int:
        looked = 0
        for _ in range(PAGES):
            page = self._walks[place](since_ms, self._after[place], PAGE)
            self._read(page, token)
            looked += len(page)
            self._after[place] = page[-1] if len(page) == PAGE else None
            if self._after[place] is None:
                break
        return looked

    def _read(self, page: list[TraceTime], token: LeaseToken | None) -> None:
        if not page:
            return
        infos = self._traces.infos([each.trace_id for each in page])
        found = [label for info in infos.values() for label in labels_in(info, self._rules)]
        # A trace that somebody deleted keeps the labels it had: its verdicts stand as well.
        self._labels.align(infos, found, token)
