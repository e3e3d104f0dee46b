"""The smallest drop that a day shows: consistent with the likelihood, with weights, and never too hopeful."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.detectable import detectable_drop
from monitor.stats.sequential import bets


def drop(reference, bets_per_day, *, threshold=10_000, weights=(1.0,)):
    """The drop that is noticed with these weights, each as common as the others."""
    return detectable_drop(
        reference,
        bets_per_day=bets_per_day,
        threshold=threshold,
        mean_weight=sum(weights) / len(weights),
        mean_square_weight=sum(w * w for w in weights) / len(weights),
    )


def growth(reference, rate, weights):
    """The best gambler's mean logarithmic growth, by enumeration."""
    return max(
        sum(rate * math.log1p(-b * w * (1 - reference)) + (1 - rate) * math.log1p(b * w * reference) for w in weights)
        / len(weights)
        for b in bets(reference)
    )


@pytest.mark.parametrize(("reference", "rate", "delay"), [(0.95, 0.90, 234), (0.95, 0.85, 84), (0.80, 0.70, 191)])
def test_the_drop_is_that_whose_likelihood_grows_to_the_threshold(reference, rate, delay):
    """As many bets a day as log(threshold) / growth asks for show this drop: more than the mean delay needs."""
    n = math.log(10_000) / growth(reference, rate, (1.0,))
    assert drop(reference, n) == pytest.approx(reference - rate, rel=0.02)
    assert 1.2 * delay < n < 2.2 * delay


def test_too_few_bets_notice_nothing():
    """Where even a fall to 0 would not be seen the series is blind, and says so."""
    assert drop(0.95, 3) is None
    assert drop(0.95, 0) is None
    assert drop(0.0, 1000) is None
    assert drop(0.95, 8) is not None


@given(st.floats(0.4, 0.999), st.floats(20, 1e6), st.floats(1.1, 50))
def test_more_bets_or_a_smaller_threshold_show_smaller_drops(reference, bets_per_day, more):
    """The drop shrinks with what is known, and stays within the scale."""
    base = drop(reference, bets_per_day, weights=(0.1, 1.0))
    for better in (
        drop(reference, bets_per_day * more, weights=(0.1, 1.0)),
        drop(reference, bets_per_day, threshold=100, weights=(0.1, 1.0)),
    ):
        if base is not None:
            assert better is not None
            assert 0 <= better <= base + 1e-9 <= reference + 1e-9


def test_uneven_weights_show_less():
    """A series whose bets weigh 0.1 or 1 sees a drop later than one whose bets all weigh the same."""
    assert drop(0.95, 400) < drop(0.95, 400, weights=(0.1, 1.0))


@given(st.floats(0.5, 0.999), st.floats(50, 1e5), st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_uneven_weights_never_promise_more_than_they_can_hold(reference, bets_per_day, weights):
    """At the drop that is told, these very weights reach the threshold in a day."""
    told = drop(reference, bets_per_day, weights=weights)
    if told is not None:
        assert bets_per_day * growth(reference, reference - told, weights) >= math.log(10_000) * (1 - 1e-6)
