"""Mean differences of paired scores against other libraries, McNemar's test, and simulated coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test, ttest_1samp

from monitor.stats.paired_counts import exact_p, mid_p
from monitor.stats.paired_scores import moments, score_interval, sign_flip_p
from tests.benchmarks.paired_scores import KINDS, true_mean

thirds = st.lists(st.integers(-3, 3).map(lambda share: share / 3), min_size=1, max_size=9)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_of_passes_and_fails_the_p_values_are_mcnemars(b, c, unchanged):
    """Exchanging the versions of the changed rows is what McNemar's test counts."""
    differences = [-1.0] * b + [1.0] * c + [0.0] * unchanged
    assert sign_flip_p(differences) == pytest.approx((mid_p(b, c), exact_p(b, c)))


@given(thirds.filter(lambda differences: len(differences) > 1))
@settings(max_examples=40, deadline=None)
def test_the_exact_p_counts_all_choices_of_signs(differences):
    """The same share as scipy finds by writing all of them down."""
    found = permutation_test(
        (np.rint(np.array(differences) * 3),), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(differences)[1] == pytest.approx(found.pvalue)


def test_equal_shifts_of_all_rows_are_as_likely_as_all_signs_alike():
    """Seven rows that each lose a third: one choice of signs in 128, twice, and half of it by mid-p."""
    assert sign_flip_p([-1 / 3] * 7) == pytest.approx((1 / 128, 2 / 128))
    low, high = score_interval([-1 / 3] * 7)
    assert low < -1 / 3 < high < 0


def test_many_rows_of_any_scores_come_close_to_students_test():
    """With a hundred rows of a smooth score both tests agree, though the signs are counted in units."""
    differences = np.random.default_rng(4).normal(0.03, 0.15, 100).clip(-1, 1)
    assert sign_flip_p(list(differences))[0] == pytest.approx(ttest_1samp(differences, 0).pvalue, rel=0.1)


def test_more_rows_than_are_counted_take_the_normal_distribution():
    """At 2,100 changed rows it gives what counting gives at 2,000."""
    few = sign_flip_p([1.0] * 1040 + [-1.0] * 960)[0]
    many = sign_flip_p([1.0] * 1091 + [-1.0] * 1009)[0]
    assert few == pytest.approx(mid_p(960, 1040))
    assert many == pytest.approx(mid_p(1009, 1091), rel=0.01)


@given(thirds)
def test_exchanging_the_versions_mirrors_everything(differences):
    """p-values stay, bounds change their signs."""
    other = [-each for each in differences]
    low, high = score_interval(differences)
    assert sign_flip_p(other) == pytest.approx(sign_flip_p(differences))
    assert score_interval(other) == pytest.approx((-high, -low))
    assert -1 <= low <= sum(differences) / len(differences) <= high <= 1


def test_an_interval_has_width_where_nothing_changed():
    """Seven equal rows do not prove that all rows are."""
    low, high = score_interval([0.0] * 7)
    assert low == -high
    assert 0.2 < high < 0.5
    with pytest.raises(ValueError, match="no rows"):
        score_interval([])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_the_interval_holds_the_mean_as_often_as_it_says(kind, shift):
    """At 7 and 30 rows, with and without a difference, at least 95 % less the error of 400 simulations."""
    mean = true_mean(KINDS[kind], shift)
    for rows in (7, 30):
        random = np.random.default_rng(rows)
        bounds = [score_interval(list(KINDS[kind](random, rows, shift))) for _ in range(400)]
        assert sum(low <= mean <= high for low, high in bounds) / 400 >= 0.93


@pytest.mark.parametrize("kind", KINDS)
def test_like_versions_are_called_different_as_rarely_as_promised(kind):
    """At 20 rows, not above 5 % plus three standard errors of 400 simulations."""
    random = np.random.default_rng(8)
    found = [sign_flip_p(list(KINDS[kind](random, 20, 0.0)))[0] for _ in range(400)]
    assert np.mean(np.array(found) <= 0.05) <= 0.083


def test_moments_of_passes_and_fails_are_smoothed_as_counts_are():
    """(b + c + 1) / (n + 2) and (c - b) / (n + 2)."""
    found = moments([-1.0] * 2 + [1.0] * 5 + [0.0] * 3)
    assert (found.smoothed_square, found.smoothed_mean) == pytest.approx((8 / 12, 3 / 12))
    assert moments([0.0] * 4).smoothed_square == pytest.approx(1 / 6)


@pytest.mark.parametrize("changed", [1, 3, 8])
def test_differences_of_any_size_that_all_go_one_way_are_one_choice_of_two_to_the_n(changed):
    """Sizes that fit no common unit as well."""
    differences = [2.0**-power for power in range(changed)]
    assert sign_flip_p(differences) == pytest.approx((1 / 2**changed, 2 / 2**changed))
