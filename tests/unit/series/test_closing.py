"""From verdicts to series, in a real ledger: what closes when, what counts, and that nothing else matters."""

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from monitor.ledger import LeaseLost
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.series.blindness import Sight
from monitor.series.view import CHANGED, SeriesViews
from monitor.stats.confidence import hajek
from monitor.stats.series import SeriesState
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, VERSION, closing, fill, policy, state, verdict, watched


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A fresh ledger in memory."""
    opened = open_ledger("sqlite://")
    yield opened
    opened.close()


def close_all(ledger: Ledger, until_ms: int, **given: Any) -> int:
    return closing(ledger, **given).close(None, until_ms + 3 * MINUTE_MS)


def test_a_block_closes_two_minutes_after_its_end_and_not_before(ledger: Ledger) -> None:
    """A minute of event time is left open for those that come late."""
    ledger.intake.record(verdict(1, "pass", BEGAN_MS + 1))
    closes_ms = BEGAN_MS + 3 * MINUTE_MS
    assert closing(ledger).close(None, closes_ms - 1) == 0
    assert closing(ledger).close(None, closes_ms) == 1
    assert closing(ledger).close(None, closes_ms + 1) == 0
    assert state(ledger).shown.n == 1


def test_a_verdict_that_comes_late_joins_the_oldest_open_block(ledger: Ledger) -> None:
    """It counts once, in the next block that closes, and its own block stays as it was."""
    ledger.intake.record(verdict(1, "pass", BEGAN_MS))
    close_all(ledger, BEGAN_MS)
    ledger.intake.record(verdict(2, "fail", BEGAN_MS))
    assert closing(ledger).close(None, BEGAN_MS + 3 * MINUTE_MS) == 0
    assert closing(ledger).close(None, BEGAN_MS + 4 * MINUTE_MS) == 1
    assert (state(ledger).shown.n, ledger.series.last_block()) == (2, BEGAN_MS + MINUTE_MS)


def test_a_fall_is_found_and_its_onset_with_it(ledger: Ledger) -> None:
    """Failures in a row regress the series, since the minute of the first of them; the alarm is one."""
    end_ms = fill(ledger, "p" * 60 + "f" * 30)
    close_all(ledger, end_ms)
    found = state(ledger)
    assert (found.phase, found.alarms) == ("regressed", 1)
    assert found.alarm is not None
    assert found.alarm.onset_ms == BEGAN_MS + 60 * MINUTE_MS
    assert found.alarm.at_ms < end_ms


def test_a_fall_that_is_over_pages_nobody_and_still_counts(ledger: Ledger) -> None:
    """Verdicts older than max_age at closing are in the window, and no bet is made on them."""
    end_ms = fill(ledger, "f" * 60)
    assert closing(ledger).close(None, end_ms + 2 * 3_600_000) == 60
    found = state(ledger)
    assert (found.phase, found.evidence.sums, hajek(found.shown)) == ("watching", (0.0,) * 8, 0.0)


def test_recovery_ends_the_regression_and_the_test_begins_anew(ledger: Ledger) -> None:
    """Only after enough good verdicts, not at the first one; what was before is no evidence any more."""
    end_ms = fill(ledger, "f" * 40 + "p" * 400)
    closer = closing(ledger, max_age=timedelta(days=9))
    closer.close(None, BEGAN_MS + 60 * MINUTE_MS)
    assert state(ledger).phase == "regressed"
    closer.close(None, BEGAN_MS + 160 * MINUTE_MS)
    assert state(ledger).phase == "regressed"
    closer.close(None, end_ms + 3 * MINUTE_MS)
    found = state(ledger)
    assert (found.phase, found.alarm, found.alarms) == ("watching", None, 1)


def test_a_reference_is_learnt_and_then_held_to(ledger: Ledger) -> None:
    """300 verdicts at 95 % teach a reference below that; a fall from it is found."""
    learns = watched(policy=policy(source="learned", target=None))
    labels = ("p" * 19 + "f") * 15
    end_ms = fill(ledger, labels + "f" * 40)
    closer = closing(ledger, learns, max_age=timedelta(days=9))
    closer.close(None, BEGAN_MS + 100 * MINUTE_MS)
    assert (state(ledger).phase, state(ledger).learnt.n) == ("learning", 98)
    closer.close(None, BEGAN_MS + 302 * MINUTE_MS)
    learnt = state(ledger)
    assert learnt.phase == "watching"
    assert learnt.reference == pytest.approx(0.9238 - 0.01, abs=0.005)
    closer.close(None, end_ms + 3 * MINUTE_MS)
    assert state(ledger).phase == "regressed"


def test_only_the_baselines_verdicts_teach_where_the_baseline_is_the_reference(ledger: Ledger) -> None:
    """Those of other versions are counted, and learnt from by nobody."""
    learns = watched(policy=policy(source="baseline", target=None), teacher="v1")
    for number in range(10):
        ledger.intake.record(verdict(number, "pass", BEGAN_MS, app_version="v1" if number < 4 else "v2"))
    close_all(ledger, BEGAN_MS)
    closing(ledger, learns).close(None, BEGAN_MS + 9 * MINUTE_MS)
    ledger.intake.record(verdict(99, "pass", BEGAN_MS + 9 * MINUTE_MS, app_version="v1"))
    assert state(ledger).shown.n == 10


def test_a_session_bets_once_and_when_it_is_over(ledger: Ledger) -> None:
    """Five verdicts of one session close together, half an hour after the last, as one bet."""
    of_sessions = watched(unit="session")
    for number in range(5):
        ledger.intake.record(verdict(number, "fail", BEGAN_MS + number * MINUTE_MS, session_id="one"))
    closer = closing(ledger, of_sessions)
    assert closer.close(None, BEGAN_MS + 30 * MINUTE_MS) == 0
    assert closer.close(None, BEGAN_MS + 38 * MINUTE_MS) == 1
    by_session = state(ledger).evidence.sums
    assert state(ledger).shown.n == 5
    other = open_ledger("sqlite://")
    other.intake.record(verdict(1, "fail", BEGAN_MS + 34 * MINUTE_MS))
    closing(other).close(None, BEGAN_MS + 38 * MINUTE_MS)
    assert state(other).evidence.sums == by_session
    other.close()


def test_a_session_that_goes_on_beyond_what_is_read_at_once_is_no_less_one(ledger: Ledger) -> None:
    """Many open sessions: more is read until one is over, and none is cut in two."""
    for number in range(40):
        at_ms = BEGAN_MS + number * MINUTE_MS
        ledger.intake.record(verdict(number, "fail", at_ms, session_id=f"session {number % 4}"))
    closer = closing(ledger, watched(unit="session"), max_age=timedelta(days=9), read_at_once=3)
    assert closer.close(None, BEGAN_MS + 60 * MINUTE_MS) == 0
    while closer.close(None, BEGAN_MS + 90 * MINUTE_MS):
        pass
    sessions = {ledger.intake.verdicts_of(f"tr-{number:06d}")[0].block for number in (0, 4, 8, 36)}
    assert len(sessions) == 1
    assert ledger.series.open_verdicts(2**60, 99) == []


def test_what_is_no_part_of_a_series_is_closed_and_changes_nothing(ledger: Ledger) -> None:
    """Errors, probability 0, another definition of the scorer, and a probability that the settings do not allow."""
    for number, given in enumerate(
        [{"label": "error"}, {"probability": 0.0}, {"scorer_version": "1" * 12}, {"probability": 0.05}, {"scorer": "x"}]
    ):
        values = {"label": "fail", **given}
        ledger.intake.record(verdict(number, values.pop("label"), BEGAN_MS, **values))
    closing(ledger, watched(smallest_probability=0.1)).close(None, BEGAN_MS + 3 * MINUTE_MS)
    assert ledger.series.all() == []
    assert ledger.series.open_verdicts(BEGAN_MS + 9 * MINUTE_MS, 10) == []


def test_a_changed_scorer_starts_its_series_anew(ledger: Ledger) -> None:
    """Its verdicts so far say nothing about the new definition: an alarm that stood is gone."""
    fill(ledger, "f" * 30)
    close_all(ledger, BEGAN_MS + 30 * MINUTE_MS)
    assert state(ledger).phase == "regressed"
    at_ms = BEGAN_MS + 60 * MINUTE_MS
    ledger.intake.record(verdict(900, "pass", at_ms, scorer_version="1" * 12))
    closing(ledger, watched(version="1" * 12)).close(None, at_ms + 3 * MINUTE_MS)
    [row] = ledger.series.all()
    assert (row.scorer_version, row.first_block, state(ledger).phase) == ("1" * 12, at_ms, "watching")
    assert (state(ledger).shown.n, state(ledger).anew_ms) == (1, at_ms)
    ledger.intake.record(verdict(901, "pass", at_ms + MINUTE_MS, scorer_version="1" * 12))
    closing(ledger, watched(version="1" * 12)).close(None, at_ms + 4 * MINUTE_MS)
    assert state(ledger).anew_ms == at_ms, "it stays known"


def test_a_series_that_began_with_the_present_scorer_is_not_anew(ledger: Ledger) -> None:
    """Nor is one whose state an earlier release wrote, which did not say."""
    close_all(ledger, fill(ledger, "pp"))
    found = state(ledger)
    assert (found.shown.n, found.anew_ms) == (2, None)
    written = {name: value for name, value in found.as_json().items() if name != "anew_ms"}
    assert SeriesState.of_json(written) == found


def test_a_series_of_the_scorer_as_it_was_is_unknown_until_the_new_one_has_judged(ledger: Ledger) -> None:
    """Its figures are of another scorer: they are not shown as if they were of this one."""
    at_ms = fill(ledger, "p" * 30)
    close_all(ledger, at_ms)
    sight = Sight(min_verdicts=1, quiet_ms=3_600_000, window_ms=86_400_000)
    changed = SeriesViews(ledger=ledger, scorers={"safety": watched(version="1" * 12)}, sight=sight)
    [view] = changed.read(at_ms + 5 * MINUTE_MS)
    assert (view.word, view.reason, view.rate, view.verdicts) == ("unknown", CHANGED, None, 0)
    same = SeriesViews(ledger=ledger, scorers={"safety": watched()}, sight=sight)
    assert [(each.word, each.verdicts) for each in same.read(at_ms + 5 * MINUTE_MS)] == [("good", 30)]


def test_a_target_that_is_taken_away_holds_no_longer(ledger: Ledger) -> None:
    """The series learns what it is held to; its alarm, which was of the target, is gone."""
    fill(ledger, "f" * 30)
    close_all(ledger, BEGAN_MS + 30 * MINUTE_MS)
    assert (state(ledger).phase, state(ledger).reference) == ("regressed", 0.9)
    learns = watched(policy=policy(source="learned", target=None, reference_verdicts=300))
    ledger.intake.record(verdict(900, "pass", BEGAN_MS + 60 * MINUTE_MS))
    closing(ledger, learns).close(None, BEGAN_MS + 63 * MINUTE_MS)
    found = state(ledger)
    assert (found.phase, found.reference, found.alarm, found.learnt.n) == ("learning", None, None, 1)


def test_a_series_that_bets_on_something_else_begins_to_learn_anew(ledger: Ledger) -> None:
    """A reference of pass rates is none of mean scores."""
    learns = watched(policy=policy(source="learned", target=None, reference_verdicts=30))
    closing(ledger, learns).close(None, fill(ledger, "p" * 40) + 3 * MINUTE_MS)
    assert state(ledger).phase == "watching"
    ledger.intake.record(verdict(900, "pass", BEGAN_MS + 60 * MINUTE_MS, value=0.7))
    graded = watched(policy=learns.policy, measure="value")
    closing(ledger, graded).close(None, BEGAN_MS + 63 * MINUTE_MS)
    assert (state(ledger).phase, state(ledger).learnt.mean) == ("learning", pytest.approx(0.7))
    ledger.intake.record(verdict(901, "pass", BEGAN_MS + 70 * MINUTE_MS, value=0.7))
    closing(ledger, graded).close(None, BEGAN_MS + 73 * MINUTE_MS)
    assert state(ledger).learnt.n == 2, "and only once"


def test_a_session_is_as_old_as_its_bet_and_not_as_its_verdicts(ledger: Ledger) -> None:
    """It is quiet for longer than `alerts.max_age` before anybody can bet on it; the bet is made all the same."""
    end_ms = BEGAN_MS
    for number in range(40):
        end_ms = BEGAN_MS + number * MINUTE_MS
        ledger.intake.record(verdict(number, "fail", end_ms, session_id=f"s{number}"))
    closer = closing(ledger, watched(unit="session"), max_age=timedelta(minutes=20))
    for minute in range(80):
        closer.close(None, BEGAN_MS + minute * MINUTE_MS)
    assert state(ledger).phase == "regressed"


def test_the_quietest_value_makes_room_and_a_new_release_has_the_reference_of_all(ledger: Ledger) -> None:
    """No value waits for a place, and none is lumped together with others."""
    settings = {"segment_values": 2}
    for number, version in enumerate(["v1", "v2", "v3"]):
        at_ms = BEGAN_MS + number * MINUTE_MS
        ledger.intake.record(verdict(number, "pass", at_ms, segments={"app_version": version}, app_version=version))
        close_all(ledger, at_ms, statistics=settings)
    assert [row.segment for row in ledger.series.all()] == ["all", "app_version=v2", "app_version=v3"]
    assert state(ledger, "app_version=v3").reference == 0.9


def test_a_value_that_is_not_seen_for_a_day_retires_unless_it_is_expected(ledger: Ledger) -> None:
    """The next block that closes ends its series."""
    settings = {"expected": ("app_version=v1",)}
    for number, version in enumerate(["v1", "v2"]):
        ledger.intake.record(verdict(number, "pass", BEGAN_MS, segments={"app_version": version}))
    close_all(ledger, BEGAN_MS, statistics=settings)
    later_ms = BEGAN_MS + 25 * 3_600_000
    ledger.intake.record(verdict(9, "pass", later_ms))
    close_all(ledger, later_ms, statistics=settings)
    assert [row.segment for row in ledger.series.all()] == ["all", "app_version=v1"]


def test_a_change_of_the_mix_alone_is_no_regression_where_it_is_adjusted_for(ledger: Ledger) -> None:
    """Each kind of request keeps its own rate while the hard ones become more; without adjustment it alarms."""
    learns = watched(policy=policy(source="learned", target=None, reference_verdicts=300, threshold=24.0))
    other = open_ledger("sqlite://")
    chance = random.Random(7)
    number, until_ms = 0, BEGAN_MS
    for minute in range(400):
        hard_share = 0.3 if minute < 200 else 0.9
        for _ in range(10):
            kind = "hard" if chance.random() < hard_share else "easy"
            passes = chance.random() < (0.7 if kind == "hard" else 0.99)
            row = verdict(number, "pass" if passes else "fail", BEGAN_MS + minute * MINUTE_MS, segments={"kind": kind})
            for each in (ledger, other):
                each.intake.record(row)
            number += 1
        until_ms = BEGAN_MS + minute * MINUTE_MS
    for each, mix in ((ledger, {"mix_adjustment": "kind"}), (other, {})):
        closing(each, learns, statistics=mix, max_age=timedelta(days=9)).close(None, until_ms + 3 * MINUTE_MS)
    assert state(other).alarms > 0
    assert state(ledger).alarms == 0
    other.close()


def test_a_target_holds_for_all_traffic_whatever_it_is_made_of(ledger: Ledger) -> None:
    """The mix is not adjusted for: kinds that keep their own rates break it when the hard ones become more."""
    number = 0
    for minute in range(120):
        hard = 1 if minute < 60 else 6
        for each in range(10):
            label = "fail" if each < hard and number % 2 else "pass"
            row = verdict(
                number, label, BEGAN_MS + minute * MINUTE_MS, segments={"kind": "hard" if each < hard else "easy"}
            )
            ledger.intake.record(row)
            number += 1
    targeted = watched(policy=policy(threshold=24.0))
    closer = closing(ledger, targeted, statistics={"mix_adjustment": "kind"}, max_age=timedelta(days=9))
    closer.close(None, BEGAN_MS + 63 * MINUTE_MS)
    assert state(ledger).alarms == 0
    closer.close(None, BEGAN_MS + 123 * MINUTE_MS)
    assert state(ledger).alarms == 1


def test_an_old_lease_holder_closes_nothing(ledger: Ledger) -> None:
    """Its token is checked in the transaction that writes: the block stays open for the new one."""
    token = ledger.lease.acquire("leader", "old", 60.0, BEGAN_MS)
    ledger.intake.record(verdict(1, "fail", BEGAN_MS))
    assert ledger.lease.acquire("leader", "new", 60.0, BEGAN_MS + 61_000) is not None
    with pytest.raises(LeaseLost):
        closing(ledger).close(token, BEGAN_MS + 3 * MINUTE_MS)
    assert ledger.series.all() == []
    assert len(ledger.series.open_verdicts(BEGAN_MS + MINUTE_MS, 9)) == 1


@pytest.mark.parametrize("closers", [1, 3])
def test_the_same_blocks_make_the_same_states_bit_for_bit(closers: int) -> None:
    """Whatever the order in which verdicts were written, however many replicas close, restarts after each block."""
    states = []
    for name, seed in (("one", 1), ("other", 2)):
        ledger = open_ledger("sqlite://")
        chance = random.Random(5)
        rows = [
            verdict(
                number,
                "pass" if chance.random() < 0.8 else "fail",
                BEGAN_MS + chance.randrange(120) * MINUTE_MS,
                probability=chance.choice([0.1, 0.3, 1.0]),
                value=chance.random(),
                segments={"app_version": chance.choice(["v1", "v2"])},
                session_id=chance.choice([None, "a", "b"]),
            )
            for number in range(600)
        ]
        random.Random(seed).shuffle(rows)
        for row in rows:
            ledger.intake.record(row)
        scorer = watched(smallest_probability=0.1, measure="value", unit="session" if closers == 1 else "verdict")
        replicas = [
            closing(ledger, scorer, max_age=timedelta(days=9)) for _ in range(closers if name == "other" else 1)
        ]
        for minute in range(200):
            replicas[minute % len(replicas)].close(None, BEGAN_MS + minute * MINUTE_MS)
        states.append(json.dumps([(row.segment, row.last_block, row.state) for row in ledger.series.all()]))
        states.append(json.dumps([repr(ledger.series.clock())]))
        ledger.close()
    assert states[:2] == states[2:]
    assert len(json.loads(states[0])) == 3


def test_the_deposits_of_all_series_are_the_hours_that_passed(ledger: Ledger) -> None:
    """The clock runs an hour an hour, shared by those that are watched, whenever each of them began."""
    for number in range(240):
        segments = {"app_version": "v2" if number >= 120 else "v1"}
        ledger.intake.record(verdict(number, "pass", BEGAN_MS + number * MINUTE_MS, segments=segments))
    close_all(ledger, BEGAN_MS + 240 * MINUTE_MS)
    clock = ledger.series.clock()
    assert clock is not None
    # Two series for two hours, three for another two.
    assert clock.shares == pytest.approx(2 / 2 + 2 / 3, abs=0.02)
    assert clock.live == 3


def test_a_version_of_the_code_before_blocks_may_write_beside(ledger: Ledger) -> None:
    """What it writes has no block, and is closed like anything else."""
    ledger.intake.record(verdict(1, "pass", BEGAN_MS, scorer_version=VERSION))
    assert ledger.intake.verdicts_of("tr-000001")[0].block is None
    close_all(ledger, BEGAN_MS)
    assert ledger.intake.verdicts_of("tr-000001")[0].block == BEGAN_MS
