"""Whether events come, and are of now: why series may be silent through no fault of their scorer."""

from typing import Literal

from monitor.ledger.ledger import Ledger
from monitor.ledger.positions import known_lag

Stream = Literal["flows", "behind", "quiet"]
"""Events come; they wait, and those that are read came long ago; none come."""


def stream_by_traces(ledger: Ledger, now_ms: int, quiet_ms: int) -> Stream:
    """What the newest trace that was kept says of the stream, with how far the stream is ahead.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    newest_ms = ledger.series.newest_trace_ms()
    if newest_ms is None or now_ms - newest_ms < quiet_ms:
        return "flows"
    return "behind" if known_lag(ledger.positions.all(), now_ms) else "quiet"


class StreamWatch:
    """The state of the stream for somebody who looks again and again.

    That anything comes is told by the count of events, which has no time of its own. Of the time before the first look
    the newest trace tells: where a series would have had ten verdicts, and each of them a trace, no trace is no chance;
    where nothing was kept yet, something counts as having come just now.
    """

    def __init__(self, ledger: Ledger, quiet_ms: int) -> None:
        self._ledger = ledger
        self._quiet_ms = quiet_ms
        self._count: int | None = None
        self._grown_ms = 0

    def look(self, now_ms: int) -> Stream:
        """The state now.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        count = self._ledger.positions.received()
        if self._count is None:
            newest_ms = self._ledger.series.newest_trace_ms()
            self._count, self._grown_ms = count, now_ms if newest_ms is None else min(newest_ms, now_ms)
        elif count != self._count:
            self._count, self._grown_ms = count, now_ms
        if stream_by_traces(self._ledger, now_ms, self._quiet_ms) == "behind":
            return "behind"
        return "quiet" if now_ms - self._grown_ms >= self._quiet_ms else "flows"
