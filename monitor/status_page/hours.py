"""Pass rates of the last 24 hours, hour by hour, for a price that does not grow with the day."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from monitor.ledger.figures import HOUR_MS
from monitor.ledger.rows import HourRow

HOURS: Final = 24
_FRESH: Final = 2

SeriesKey = tuple[str, str]
"""Scorer and segment."""


class HourSource(Protocol):
    """Where the hours come from: the ledger's figures."""

    def by_hour(self, first_hour: int, end_hour: int) -> list[HourRow]:
        """What each series was judged in each hour from the first up to the end, which is not one of them."""
        ...


class RecentHours:
    """The last 24 hours of every series, the present one included. One thread at a time may read.

    An hour that is over hardly changes: with each read the present and the last hour are read again, and one of the
    others in turn, so that verdicts on older traces show after 22 reads at most.
    """

    def __init__(self, source: HourSource) -> None:
        self._source = source
        self._hours: dict[int, list[HourRow]] = {}
        self._turn = 0

    def read(self, now_ms: int) -> Mapping[SeriesKey, Sequence[HourRow | None]]:
        """Of each series its 24 hours, the oldest first; None for an hour without verdicts.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        end = now_ms // HOUR_MS + 1
        first = end - HOURS
        for begin, stop in self._stretches(first, end):
            found: dict[int, list[HourRow]] = {hour: [] for hour in range(begin, stop)}
            for row in self._source.by_hour(begin, stop):
                found[row.hour].append(row)
            self._hours |= found
        # A clock that was set back leaves hours that have not come yet.
        self._hours = {hour: rows for hour, rows in self._hours.items() if first <= hour < end}
        return _by_series((row for rows in self._hours.values() for row in rows), first)

    def _stretches(self, first: int, end: int) -> Iterable[tuple[int, int]]:
        fresh = end - _FRESH
        if any(hour not in self._hours for hour in range(first, fresh)):
            return [(first, end)]
        self._turn = (self._turn + 1) % (HOURS - _FRESH)
        return [(first + self._turn, first + self._turn + 1), (fresh, end)]


def _by_series(rows: Iterable[HourRow], first: int) -> Mapping[SeriesKey, Sequence[HourRow | None]]:
    found: dict[SeriesKey, list[HourRow | None]] = {}
    for row in rows:
        hours = found.setdefault((row.scorer, row.segment), [None] * HOURS)
        hours[row.hour - first] = row
    return found
