"""The test that may be looked at after every row: known values, its promise in simulation, its interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stats.anytime import (
    anytime_interval,
    evidence,
    fewest_anytime_rows,
    largest_evidence,
    pass_fail_evidence,
    rows_for_evidence,
)
from monitor.stats.paired_scores import moments

differences = st.lists(st.floats(-1, 1), min_size=1, max_size=40)


def rows(b: int, c: int, unchanged: int = 0) -> list[float]:
    """Differences of so many rows from pass to fail, from fail to pass, and unchanged."""
    return [-1.0] * b + [1.0] * c + [0.0] * unchanged


@pytest.mark.parametrize(
    ("b", "c", "known"), [(0, 5, 7.875), (2, 0, 1.5), (12, 5, 0.840179), (0, 9, 94.960938), (30, 10, 23.443987)]
)
def test_known_tables_give_the_known_evidence(b, c, known):
    """2^(b+c) B(b+1/2, c+1/2) / B(1/2, 1/2), and rows that did not change change nothing."""
    assert pass_fail_evidence(b, c) == pytest.approx(known, abs=1e-6)
    assert evidence(rows(b, c)) == pytest.approx(known, abs=1e-6)
    assert evidence(rows(b, c, unchanged=25)) == pytest.approx(known, abs=1e-6)


@given(differences)
@settings(deadline=None)
def test_the_order_of_rows_changes_no_last_evidence_and_the_largest_is_no_less(found):
    """E is a product; its largest value on the way includes the last and the start."""
    assert evidence(found[::-1]) == pytest.approx(evidence(found))
    assert largest_evidence(found)[0] >= max(1.0, evidence(found)) * (1 - 1e-9)


@given(differences, st.floats(0.01, 1))
@settings(deadline=None)
def test_a_fair_next_row_wins_nothing_on_average(found, size):
    """Up or down by the same size with even chances leaves the expected evidence as it is."""
    up, down = evidence([*found, size]), evidence([*found, -size])
    assert (up + down) / 2 == pytest.approx(evidence(found), rel=1e-6)


def test_what_was_proved_once_stays_proved():
    """Nine rows that get worse decide, whatever comes after them, and for the worse."""
    held, total = largest_evidence(rows(9, 0) + rows(0, 12))
    assert held == pytest.approx(94.960938)
    assert total == -9
    assert evidence(rows(9, 12)) < 1
    assert largest_evidence([]) == (1.0, 0.0)


@pytest.mark.parametrize("graded", [False, True])
def test_like_versions_are_told_apart_at_most_as_often_as_promised(graded):
    """Looked at after each of 200 rows: below 5 % of 800 simulations, of passes and fails and of skewed scores."""
    random = np.random.default_rng(7)
    if graded:
        # Rare large drops against frequent small gains, 0 on average.
        sets = random.choice([-0.9, 0.1], (800, 200), p=[0.1, 0.9])
    else:
        sets = random.choice([-1.0, 0.0, 1.0], (800, 200), p=[0.2, 0.6, 0.2])
    assert np.mean([largest_evidence(list(each))[0] >= 20 for each in sets]) < 0.05


def test_a_fixed_set_of_rows_in_random_order_keeps_the_promise_too():
    """As many rows up as down, drawn without putting back, are proved different below 5 % of the time."""
    random, fixed = np.random.default_rng(3), np.array(rows(40, 40, unchanged=120))
    assert np.mean([largest_evidence(list(random.permutation(fixed)))[0] >= 20 for _ in range(600)]) < 0.05


@given(differences)
@settings(deadline=None)
def test_the_interval_holds_the_mean_and_mirrors(found):
    """Exchanging the versions exchanges the bounds."""
    low, high = anytime_interval(found)
    assert -1 <= low <= sum(found) / len(found) + 1e-9
    assert sum(found) / len(found) - 1e-9 <= high <= 1
    assert anytime_interval([-each for each in found]) == pytest.approx((-high, -low), abs=1e-6)


def test_the_interval_leaves_0_out_exactly_when_the_evidence_is_20():
    """The bet against 0 is the test itself."""
    for c in range(1, 12):
        low, _ = anytime_interval(rows(0, c, unchanged=5))
        assert (low > 0) == (pass_fail_evidence(0, c) >= 20)
    with pytest.raises(ValueError, match="no rows"):
        anytime_interval([])


def test_the_interval_holds_the_true_mean_at_every_look():
    """Looked at after every fifth of 100 rows, it misses a mean of 0.2 at any of them below 5 % of the time."""
    random = np.random.default_rng(2)
    missed = 0
    for _ in range(150):
        found = list(random.choice([-1.0, 0.0, 1.0], 100, p=[0.1, 0.6, 0.3]))
        bounds = [anytime_interval(found[:end]) for end in range(5, 101, 5)]
        missed += any(not low <= 0.2 <= high for low, high in bounds)
    assert missed / 150 < 0.05


@pytest.mark.parametrize(("square", "mean", "scorers"), [(0.3, 0.1, 1), (0.1, 0.05, 8)])
def test_the_rows_for_evidence_suffice_about_as_often_as_they_say(square, mean, scorers):
    """Four of five simulations come to the evidence within them."""
    needed = 20.0 * scorers
    planned = rows_for_evidence(square, mean, needed, power=0.8)
    chances = [(square - mean) / 2, 1 - square, (square + mean) / 2]
    sets = np.random.default_rng(6).choice([-1.0, 0.0, 1.0], (150, planned), p=chances)
    reached = np.mean([largest_evidence(list(each))[0] >= needed for each in sets])
    assert 0.72 <= reached <= 0.95


def test_the_rows_for_evidence_suffice_for_small_differences_of_scores_too():
    """The best stake would be five times all that one has; nobody can stake more than all."""
    random = np.random.default_rng(1)
    found = moments(random.normal(-0.05, 0.1, 10_000))
    planned = rows_for_evidence(found.squares / found.rows, found.total / found.rows, 60.0, power=0.8)
    sets = random.normal(-0.05, 0.1, (100, planned)).clip(-1, 1)
    assert 0.72 <= np.mean([largest_evidence(list(each))[0] >= 60 for each in sets]) <= 0.99


def test_the_fewest_rows_that_can_prove_anything():
    """All changed the same way: seven for one scorer, ten for eight."""
    assert (fewest_anytime_rows(20), fewest_anytime_rows(160)) == (7, 10)
    assert pass_fail_evidence(0, 6) < 20 <= pass_fail_evidence(0, 7)


def test_evidence_of_any_number_of_rows_is_a_number():
    """Thousands of rows one way are told as very much, not as infinite."""
    assert 1e200 < evidence(rows(0, 3000)) < float("inf")
    assert pass_fail_evidence(0, 3000) < float("inf")
