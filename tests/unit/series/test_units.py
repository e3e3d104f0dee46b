"""What is one bet: the same verdicts make the same bets, whenever somebody looks."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.ledger.rows import OpenVerdict
from monitor.series.units import Group, Units
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, opened, verdict, watched

UNITS = Units(
    scorers={"safety": watched(unit="session")},
    quiet_ms=30 * MINUTE_MS,
    longest_ms=360 * MINUTE_MS,
    unit_block_ms=60 * MINUTE_MS,
)


def at(*minutes: int) -> list[OpenVerdict]:
    """Verdicts of one session at these minutes."""
    return [
        opened(verdict(number, "pass", BEGAN_MS + minute * MINUTE_MS, session_id="one"))
        for number, minute in enumerate(minutes)
    ]


def minutes_of(groups: Sequence[Group]) -> list[list[int]]:
    return [
        sorted((each.event_time_ms - BEGAN_MS) // MINUTE_MS for each in group.verdicts)
        for group in sorted(groups, key=lambda group: group.ready_ms)
    ]


@pytest.mark.parametrize(
    ("minutes", "bets"),
    [
        ((0, 30, 60), [[0, 30, 60]]),
        ((0, 31, 62), [[0], [31], [62]]),
        ((0, 10, 60, 70), [[0, 10], [60, 70]]),
    ],
)
def test_a_session_ends_where_it_rests(minutes: tuple[int, ...], bets: list[list[int]]) -> None:
    """Read late, after an outage say, it is what it would have been in time."""
    assert minutes_of(UNITS.groups(at(*minutes))) == bets


def test_a_session_that_never_rests_is_cut() -> None:
    """A client with one id for ever is judged all the same: a bet is complete after `longest`."""
    groups = UNITS.groups(at(*range(0, 800, 10)))
    assert [(found[0], found[-1]) for found in minutes_of(groups)] == [(0, 360), (370, 730), (740, 790)]
    assert [(group.ready_ms - BEGAN_MS) // MINUTE_MS for group in groups] == [360, 730, 820]


@given(st.lists(st.integers(0, 1500), min_size=1, max_size=40))
def test_who_looks_all_the_time_and_who_looks_once_see_the_same_bets(minutes: list[int]) -> None:
    """Each bet is taken out as soon as it is complete, and what is left makes the same further ones."""
    verdicts = sorted(at(*minutes), key=lambda each: each.event_time_ms)
    once = minutes_of(UNITS.groups(verdicts))
    closed: list[Group] = []
    for now in range(0, 3000, 7):
        now_ms = BEGAN_MS + now * MINUTE_MS
        taken = {each.trace_id for group in closed for each in group.verdicts}
        known = [each for each in verdicts if each.event_time_ms < now_ms and each.trace_id not in taken]
        closed += [group for group in UNITS.groups(known) if group.ready_ms < now_ms]
    assert minutes_of(closed) == once
