"""A series that has been silent for long, as the metrics show it."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from monitor.ledger.ledger import Ledger, open_ledger
from monitor.series.blindness import Sight
from monitor.series.view import SeriesViews
from tests.figure_readers import figure_reader
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, closing, fill, watched

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
SIGHT = Sight(min_verdicts=20, quiet_ms=HOUR_MS, window_ms=DAY_MS)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """An hour of passes, and nothing since."""
    found = open_ledger("sqlite://")
    fill(found, "p" * 60)
    closing(found, max_age=timedelta(days=1)).close(None, BEGAN_MS + 2 * HOUR_MS)
    yield found
    found.close()


@pytest.mark.parametrize(("days", "rates"), [(0, [1.0]), (1, [1.0]), (2, []), (9, [])])
def test_the_rate_of_a_series_that_is_silent_for_days_is_no_rate_of_now(
    ledger: Ledger, days: int, rates: list[float]
) -> None:
    """A gauge does not say how old it is."""
    views = SeriesViews(ledger=ledger, scorers={"safety": watched()}, sight=SIGHT)
    now_ms = BEGAN_MS + 2 * HOUR_MS + days * DAY_MS
    reader = figure_reader(ledger, now_ms, series=views.read, scorers=["safety"])
    assert [each.rate for each in reader.read().pass_rates] == rates
