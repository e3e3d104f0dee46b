"""Whether a trace store that answers with errors of its own is away, or fails on one trace alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from monitor.pipeline.patience import Patience
from monitor.traces.errors import TraceRejected, TraceStoreFailing
from monitor.traces.store import TraceStore

T = TypeVar("T")

_TRIES = 8
"""Failures in a row on one trace, while the store takes other writes, that are the trace's doing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StorePatience:
    """Patience with a trace store.

    MLflow's server answers 500 while its database is away, and to a trace that it cannot read or write.
    """

    patience: Patience
    traces: TraceStore

    def call(self, work: Callable[[], T]) -> T:
        """The result of `work`, however often the store fails to answer.

        Raises:
            TraceRejected: the store refuses the trace, or has failed on it again and again while it took other writes.
            ServiceUnavailable: the daemon stops first.
        """
        refusals = _Refusals(self.traces)
        try:
            return self.patience.call("mlflow", work, until=refusals.are_the_traces_own)
        except TraceStoreFailing as error:
            if not refusals.given_up:
                raise
            raise TraceRejected(str(error)) from error


class _Refusals:
    def __init__(self, traces: TraceStore) -> None:
        self._traces = traces
        self._in_a_row = 0

    @property
    def given_up(self) -> bool:
        return self._in_a_row >= _TRIES

    def are_the_traces_own(self, error: BaseException | None) -> bool:
        failing = isinstance(error, TraceStoreFailing)
        self._in_a_row = self._in_a_row + 1 if failing and self._traces.takes_writes() else 0
        return self.given_up
