"""Intervals that hold at all times: known values, coverage, and sums that add in any order."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.confidence import WindowSums, hajek, interval

verdicts = st.lists(st.tuples(st.floats(0.001, 1), st.floats(0, 1)), max_size=60)


def window(seen):
    """The sums over (weight, score)."""
    sums = WindowSums()
    for weight, y in seen:
        sums = sums.seen(weight, y)
    return sums


def counted(passes, failures, *, equal=True):
    """A window of passes and failures of weight 1."""
    n = float(passes + failures)
    s = float(passes)
    return WindowSums(n=passes + failures, passes=passes, s1=s, s0=n, q2=s, q1=s, q0=n, equal=equal)


@pytest.mark.parametrize(
    ("passes", "failures", "low", "high"), [(90, 10, 0.772490, 0.970939), (950, 50, 0.920760, 0.971280)]
)
def test_passes_and_failures_have_the_known_interval(passes, failures, low, high):
    """The beta-binomial mixture, also when all weights are the same but not 1."""
    assert interval(counted(passes, failures)) == pytest.approx((low, high), abs=1e-6)
    thinned = window([(0.3, 1.0)] * passes + [(0.3, 0.0)] * failures)
    assert interval(thinned) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(
    ("passes", "failures", "low", "high"), [(90, 10, 0.740874, 1.0), (950, 50, 0.922496, 0.977504)]
)
def test_the_five_sums_have_the_known_interval(passes, failures, low, high):
    """The mixture for any scores and weights."""
    assert interval(counted(passes, failures, equal=False)) == pytest.approx((low, high), abs=1e-6)


def test_graded_scores_do_not_count_as_passes_and_failures():
    """Scores close to each other know their mean better than passes and failures of the same mean."""
    graded = window([(1.0, 0.7), (1.0, 0.8)] * 200)
    assert graded.equal
    low, high = interval(graded)
    plain_low, plain_high = interval(counted(300, 100))
    assert high - low < 0.6 * (plain_high - plain_low)


def test_one_other_weight_ends_equality():
    """Adding anything of another weight is remembered."""
    assert window([(0.5, 1.0), (0.5, 0.0)]).added(window([(0.5, 1.0)])).equal
    assert not window([(0.5, 1.0), (0.5, 0.0)]).added(window([(1.0, 1.0)])).equal
    assert not window([(0.5, 1.0), (1.0, 0.0)]).added(WindowSums()).equal


def test_the_weighted_mean_is_hajek_s():
    """Sum of w y over sum of w, of the known five verdicts."""
    rates = (0.1, 0.1, 0.1, 0.5, 1.0)
    assert hajek(window([(0.1 / pi, y) for pi, y in zip(rates, (1, 1, 0, 1, 0), strict=True)])) == pytest.approx(2 / 3)
    assert hajek(WindowSums()) is None


def test_nothing_seen_leaves_everything_possible():
    """No verdict, no knowledge; all passes or all failures leave one end open."""
    assert interval(WindowSums()) == (0.0, 1.0)
    assert interval(counted(50, 0))[1] == 1.0
    assert 0.85 < interval(counted(50, 0))[0] < 1
    assert interval(counted(0, 50))[0] == 0.0


@pytest.mark.parametrize("weighted", [False, True])
def test_the_interval_holds_the_rate_at_all_times(weighted):
    """Looked at after every 50th of 2000 verdicts, at most 5 % of series ever miss the rate, and some chance."""
    source = random.Random(3)
    missed = 0
    for _ in range(100):
        sums, held = WindowSums(), True
        for number in range(1, 2001):
            sums = sums.seen(source.choice((0.1, 1.0)) if weighted else 1.0, float(source.random() < 0.9))
            if number % 50 == 0 and held:
                low, high = interval(sums)
                held = low <= 0.9 <= high
        missed += not held
    assert missed <= 8


@given(verdicts, st.randoms(use_true_random=False), st.integers(0, 60))
def test_sums_add_in_any_order_and_grouping_bit_for_bit(seen, shuffling, cut):
    """Rows in another order, or split between replicas, give the same window."""
    shuffled = shuffling.sample(seen, len(seen))
    assert repr(window(shuffled[:cut]).added(window(shuffled[cut:]))) == repr(window(seen))


@given(verdicts)
def test_window_sums_survive_json_and_hold_their_mean(seen):
    """They come back from text as they were; the interval lies in 0..1 around the mean."""
    sums = window(seen)
    assert repr(WindowSums.of_json(json.loads(json.dumps(sums.as_json())))) == repr(sums)
    low, high = interval(sums)
    assert 0 <= low <= high <= 1
    if seen:
        assert low - 1e-9 <= hajek(sums) <= high + 1e-9


@given(st.integers(0, 3000), st.integers(0, 3000), st.booleans())
def test_less_risk_is_a_wider_interval(passes, failures, equal):
    """An interval at 1 % contains that at 5 %."""
    sums = counted(passes, failures, equal=equal)
    low, high = interval(sums)
    wide_low, wide_high = interval(sums, 0.01)
    assert wide_low <= low + 1e-9
    assert wide_high >= high - 1e-9
