"""The book of all series, block after block, without a ledger: what is learnt is what will be bet."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from monitor.series.book import Book
from monitor.series.units import SeriesBet
from monitor.series.watched import ALL, Key
from monitor.stats.settings import StatisticsSettings
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, opened, policy, verdict, watched

LEARNS = watched(policy=policy(source="learned", target=None, reference_verdicts=1000, tolerance=0.0, threshold=24.0))


def book(**statistics: Any) -> Book:
    """A book of nothing yet."""
    return Book({}, None, {"safety": LEARNS}, StatisticsSettings(**statistics))


def answers(chance: random.Random, rates: Mapping[str, float], shares: Sequence[float], count: int) -> Iterator[Any]:
    """Verdicts on requests of several kinds, each of which passes at the rate of its kind."""
    for number in range(count):
        [kind] = chance.choices(list(rates), shares)
        label = "pass" if chance.random() < rates[kind] else "fail"
        yield opened(verdict(number, label, BEGAN_MS, segments={"kind": kind} if kind else {}))


def close_each(of: Book, sessions: Sequence[Sequence[Any]], every: int = 10) -> int:
    """So many sessions a block, each of which is one bet; how often `all` has been in alarm."""
    for first in range(0, len(sessions), every):
        bets: defaultdict[Key, list[SeriesBet]] = defaultdict(list)
        for verdicts in sessions[first : first + every]:
            bets["safety", ALL].append(SeriesBet(verdicts=verdicts, old=False))
            for name in {name for each in verdicts for name in each.segment_names}:
                bets["safety", name].append(SeriesBet(verdicts=verdicts, old=False))
        of.close(bets, BEGAN_MS + (first // every + 1) * MINUTE_MS)
    return of.states["safety", ALL].alarms


@pytest.mark.parametrize(
    "kinds",
    [{"easy": 0.7, "hard": 0.3}, {"easy": 0.9, "hard": 0.1}, {"easy": 0.7, "": 0.3}],
    ids=["one learns sooner", "one is rare", "some have none"],
)
def test_a_stratum_whose_rate_is_not_known_yet_is_no_regression_of_all(kinds: Mapping[str, float]) -> None:
    """Nothing changes: the easy stratum is held against its own reference, and the hard one has none yet, or never."""
    rates = {name: 0.99 if name == "easy" else 0.7 for name in kinds}
    verdicts = answers(random.Random(3), rates, list(kinds.values()), 9000)
    adjusted = book(mix_adjustment="kind")
    assert close_each(adjusted, [[each] for each in verdicts]) == 0
    assert adjusted.states["safety", "kind=easy"].reference is not None


def test_a_fall_of_a_stratum_that_has_its_reference_is_one_of_all() -> None:
    """What the others come to is left out meanwhile, and hides nothing."""
    chance = random.Random(4)
    before = answers(chance, {"easy": 0.99, "hard": 0.7}, [0.9, 0.1], 3000)
    after = answers(chance, {"easy": 0.8, "hard": 0.7}, [0.9, 0.1], 1000)
    assert close_each(book(mix_adjustment="kind"), [[each] for each in (*before, *after)]) > 0


def test_a_stratum_that_comes_later_is_held_against_the_reference_of_all() -> None:
    """A new model takes the traffic over and is worse: what it does from its first day on is not what is normal."""
    chance = random.Random(8)
    before = answers(chance, {"old": 0.99}, [1], 2000)
    after = answers(chance, {"new": 0.5}, [1], 300)
    assert close_each(book(mix_adjustment="kind"), [[each] for each in (*before, *after)]) > 0


def test_only_what_is_bet_counts_for_what_would_be_noticed() -> None:
    """Verdicts of a stratum that makes no bet, and old ones, are seen and not bet on."""
    chance = random.Random(9)
    of = book(mix_adjustment="kind")
    close_each(of, [[each] for each in answers(chance, {"easy": 0.99, "hard": 0.7}, [0.9, 0.1], 2000)])
    before = of.states["safety", ALL].window
    hard = list(answers(chance, {"hard": 0.7}, [1], 10))
    bets = [SeriesBet(verdicts=[each], old=False) for each in hard]
    bets += [SeriesBet(verdicts=[each], old=True) for each in answers(chance, {"easy": 0.99}, [1], 10)]
    of.close({("safety", ALL): bets}, BEGAN_MS + 201 * MINUTE_MS)
    after = of.states["safety", ALL].window
    assert before is not None
    assert after is not None
    assert (after.sums.n, after.bets) == (before.sums.n + 20, before.bets)


def test_a_series_that_was_learnt_verdict_by_verdict_is_learnt_anew_where_sessions_are_bet() -> None:
    """What an earlier release, or another unit, has taught it is another rate."""
    chance = random.Random(10)
    of = book()
    close_each(of, [[each] for each in answers(chance, {"": 0.9}, [1], 1200)])
    assert of.states["safety", ALL].reference is not None
    anew = Book(of.rows, of.clock, {"safety": replace(LEARNS, unit="session")}, StatisticsSettings())
    anew.close({("safety", ALL): []}, BEGAN_MS + 500 * MINUTE_MS)
    assert anew.states["safety", ALL].reference is None


def test_sessions_of_different_lengths_are_learnt_as_they_are_bet() -> None:
    """Short sessions fail more often: a session comes to less than the rate of all verdicts, from the first day on."""
    chance = random.Random(5)
    sessions = []
    for _ in range(6000):
        rate, turns = chance.choice([(0.80, 1), (0.96, 19)])
        sessions.append([next(answers(chance, {"": rate}, [1], 1)) for _ in range(turns)])
    of = book()
    assert close_each(of, sessions) == 0
    reference = of.states["safety", ALL].reference
    assert reference is not None
    assert 0.8 < reference < 0.88


def test_a_reference_is_not_learnt_from_a_few_long_sessions() -> None:
    """A thousand verdicts of ten sessions are ten of what is bet."""
    chance = random.Random(6)
    of = book()
    sessions = [list(answers(chance, {"": 0.9}, [1], 100)) for _ in range(30)]
    close_each(of, sessions[:29], every=1)
    assert of.states["safety", ALL].reference is None
    assert of.states["safety", ALL].learnt.verdicts == 2900
    close_each(of, sessions[29:], every=1)
    assert of.states["safety", ALL].reference is not None
