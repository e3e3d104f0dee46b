"""The last 24 hours of every series: whole at first, and afterwards for the price of three hours a look."""

from monitor.ledger.rows import HourRow
from monitor.status_page.hours import HOURS, RecentHours

HOUR_MS = 3_600_000
NOW_HOUR = 1_000
NOW_MS = NOW_HOUR * HOUR_MS + 5


class Source:
    """One series with as many passes in each hour as `passes` says, and the hours that were asked for."""

    def __init__(self) -> None:
        self.passes = dict.fromkeys(range(NOW_HOUR - HOURS - 5, NOW_HOUR + 30), 1)
        self.asked: list[range] = []

    def by_hour(self, first_hour: int, end_hour: int) -> list[HourRow]:
        """The rows of hours with passes."""
        self.asked.append(range(first_hour, end_hour))
        return [
            HourRow(scorer="s", segment="all", hour=hour, verdicts=n, errors=0, weight=float(n), passed=float(n))
            for hour in range(first_hour, end_hour)
            if (n := self.passes[hour])
        ]


def counts(recent: RecentHours, now_ms: int = NOW_MS) -> list[int | None]:
    """Verdicts of the series by hour."""
    return [None if row is None else row.verdicts for row in recent.read(now_ms).get(("s", "all"), ())]


def test_the_first_read_takes_the_whole_day_the_present_hour_last() -> None:
    """An hour without verdicts is none."""
    source = Source()
    source.passes |= {NOW_HOUR: 7, NOW_HOUR - 1: 0}
    assert counts(RecentHours(source)) == [1] * 22 + [None, 7]
    assert source.asked == [range(NOW_HOUR - 23, NOW_HOUR + 1)]


def test_later_reads_take_three_hours_and_see_what_is_new() -> None:
    """The present and the last hour at once, every other one within 22 reads."""
    source = Source()
    recent = RecentHours(source)
    counts(recent)
    source.asked.clear()
    source.passes = dict.fromkeys(source.passes, 2)
    assert counts(recent)[-2:] == [2, 2]
    assert sum(map(len, source.asked)) == 3
    for _ in range(21):
        found = counts(recent)
    assert found == [2] * 24


def test_hours_go_by() -> None:
    """The window moves with the clock; after a pause it is read whole, and a clock set back does no harm."""
    source = Source()
    recent = RecentHours(source)
    counts(recent)
    source.passes[NOW_HOUR + 1] = 9
    assert counts(recent, NOW_MS + HOUR_MS) == [1] * 23 + [9]
    source.asked.clear()
    assert counts(recent, NOW_MS + 5 * HOUR_MS)[-5:] == [9, 1, 1, 1, 1]
    assert source.asked == [range(NOW_HOUR - 18, NOW_HOUR + 6)]
    assert len(counts(recent, NOW_MS - 2 * HOUR_MS)) == 24
