"""Silence that means something, and silence that does not."""

from collections.abc import Iterator
from contextlib import closing as closing_down
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.ledger.ledger import Ledger, open_ledger
from monitor.ledger.rows import ClockRow
from monitor.series.blindness import Sight
from monitor.series.watched import WatchedScorer
from monitor.stats.series import SeriesState
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, closing, fill, policy, state, verdict, watched

HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
V2 = "app_version=v2"


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A fresh ledger in memory."""
    found = open_ledger("sqlite://")
    yield found
    found.close()


@pytest.mark.parametrize("window_ms", [HOUR_MS, DAY_MS])
def test_a_segment_that_is_out_of_traffic_stays_so(ledger: Ledger, window_ms: int) -> None:
    """However much later: otherwise an alert that has ended would fire again, and nothing would have happened."""
    end_ms = fill(ledger, "f" * 10, app_version="v2", segments={"app_version": "v2"})
    closing(ledger, watched(policy=policy(window_ms=window_ms))).close(None, end_ms + 3 * MINUTE_MS)
    rows = {row.segment: row for row in ledger.series.all()}
    sight = Sight(min_verdicts=20, quiet_ms=HOUR_MS, window_ms=window_ms)
    gone = [
        sight.is_out_of_traffic(rows[V2], state(ledger, V2), replace(rows["all"], last_block=end_ms + later))
        for later in (0, 12 * HOUR_MS, DAY_MS - 1, DAY_MS, 2 * DAY_MS + HOUR_MS, 9 * DAY_MS)
    ]
    assert gone == [False, True, True, True, True, True]


def test_a_bet_that_waits_for_its_stretch_to_end_is_not_silent(ledger: Ledger) -> None:
    """With `unit: block` of six hours a verdict a minute is one bet in six hours, and all is well between two."""
    end_ms = fill(ledger, "p" * 365)
    settles_ms = 6 * HOUR_MS + 3 * MINUTE_MS
    scorer = watched(unit="block", settles_ms=settles_ms)
    closing(ledger, scorer, statistics={"unit_block": "6h"}, max_age=timedelta(days=1)).close(None, end_ms + HOUR_MS)
    [row] = ledger.series.all()
    sight = Sight(min_verdicts=20, quiet_ms=HOUR_MS, window_ms=DAY_MS)
    between_ms = row.last_block + 5 * HOUR_MS
    assert sight.why_unknown(row, state(ledger), between_ms, settles_ms=scorer.settles_ms) is None
    late_ms = row.last_block + settles_ms + HOUR_MS + 1
    assert sight.why_unknown(row, state(ledger), late_ms, settles_ms=scorer.settles_ms) is not None


def drop_of(ledger: Ledger, scorer: WatchedScorer, end_ms: int) -> float | None:
    """What would be noticed within a day once everything is closed."""
    closing(ledger, scorer, max_age=timedelta(days=3)).close(None, end_ms + 7 * HOUR_MS)
    [row] = ledger.series.all()
    sight = Sight(min_verdicts=20, quiet_ms=HOUR_MS, window_ms=DAY_MS)
    clock = ClockRow(block=row.last_block, live=1, shares=0.0)
    return sight.drop(row, state(ledger), scorer, clock, row.last_block + MINUTE_MS)


def test_what_would_be_noticed_is_told_by_bets_and_not_by_their_verdicts(ledger: Ledger) -> None:
    """Sessions of 20 turns that agree: 960 verdicts in two days are 48 bets, and notice what as many verdicts would."""
    scorer = watched(unit="session")
    end_ms = BEGAN_MS
    for number in range(960):
        session, turn = divmod(number, 20)
        end_ms = BEGAN_MS + session * HOUR_MS + turn * MINUTE_MS
        ledger.intake.record(verdict(number, "pass", end_ms, session_id=f"s{session}"))
    drop = drop_of(ledger, scorer, end_ms)
    window = state(ledger).window
    assert window is not None
    assert window.sums.n == 20 * window.bets
    with closing_down(open_ledger("sqlite://")) as other:
        for session in range(48):
            other.intake.record(verdict(session, "pass", BEGAN_MS + session * HOUR_MS))
        assert drop == pytest.approx(drop_of(other, watched(), end_ms), rel=0.1)
    assert drop is not None
    assert drop > 0.2


def test_a_window_of_an_earlier_release_has_as_many_bets_as_verdicts(ledger: Ledger) -> None:
    """It counted none: nothing better is known of it, and it is over in a day."""
    fill(ledger, "p" * 30)
    closing(ledger, max_age=timedelta(days=3)).close(None, BEGAN_MS + HOUR_MS)
    [row] = ledger.series.all()
    older = {**row.state, "window": {name: each for name, each in row.state["window"].items() if name != "bets"}}
    window = SeriesState.of_json(older).window
    assert window is not None
    assert (window.bets, window.sums.n) == (30, 30)


@pytest.mark.parametrize(("days", "shown"), [(1, 60), (2, 10), (10, 10)])
def test_a_window_is_shown_for_the_next_one_and_for_no_later_one(ledger: Ledger, days: int, shown: int) -> None:
    """After a gap the rate of ten days ago would stand for today's until 50 verdicts have come."""
    fill(ledger, "f" * 60)
    for number in range(10):
        ledger.intake.record(verdict(900 + number, "pass", BEGAN_MS + days * DAY_MS + number * MINUTE_MS))
    closing(ledger, max_age=timedelta(days=30)).close(None, BEGAN_MS + days * DAY_MS + HOUR_MS)
    assert state(ledger).shown.n == shown
