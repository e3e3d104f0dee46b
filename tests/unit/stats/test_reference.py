"""A learnt reference: known bounds, weights, and sums that add in any order."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from monitor.stats.reference import Learnt, lower

BOUNDS = [(95, 100, 0.897747), (475, 500, 0.930864), (950, 1000, 0.937137), (800, 1000, 0.778049)]

verdicts = st.lists(st.tuples(st.floats(0.001, 1), st.floats(0, 1)), min_size=1, max_size=60)


def learnt(seen):
    """The sums over (weight, score)."""
    sums = Learnt()
    for weight, y in seen:
        sums = sums.seen(weight, y)
    return sums


def passes(count, n, weight=1.0):
    """Verdicts of one weight."""
    return learnt([(weight, float(number < count)) for number in range(n)])


@pytest.mark.parametrize(("count", "n", "bound"), BOUNDS)
@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_equal_weights_give_the_bound_of_clopper_and_pearson(count, n, bound, weight):
    """Known values, whatever the one weight is."""
    assert lower(passes(count, n, weight), tolerance=0.0) == pytest.approx(bound, abs=1e-6)


def test_the_tolerance_lowers_the_reference_and_never_below_nothing():
    """It is taken off at the end."""
    assert lower(passes(95, 100), tolerance=0.02) == pytest.approx(0.877747, abs=1e-6)
    assert lower(passes(1, 100), tolerance=0.5) == 0.0


@pytest.mark.parametrize(("count", "wanted"), [(0, 0.0), (100, 0.05 ** (1 / 100))])
def test_all_alike_counts_as_many_as_there_are(count, wanted):
    """No variance is no certainty: the bound is that of n verdicts."""
    assert lower(passes(count, 100), tolerance=0.0) == pytest.approx(wanted)


def test_unequal_weights_widen_the_bound():
    """Korn and Graubard: as many verdicts as would give the weighted mean's variance, and no more than there are."""
    seen = [(0.1, 1.0)] * 300 + [(0.1, 0.0)] * 10 + [(1.0, 1.0)] * 5 + [(1.0, 0.0)] * 25
    sums = learnt(seen)
    mean = sum(w * y for w, y in seen) / sum(w for w, _ in seen)
    variance = sum(w * w * (y - mean) ** 2 for w, y in seen) / sum(w for w, _ in seen) ** 2
    n = min(len(seen), mean * (1 - mean) / variance)
    assert n < 100
    assert sums.mean == pytest.approx(mean)
    assert lower(sums, tolerance=0.0) == pytest.approx(beta.ppf(0.05, mean * n, n - mean * n + 1), rel=1e-6)


def test_nothing_gives_no_reference():
    """There is no rate of no verdicts."""
    assert Learnt().mean is None
    with pytest.raises(ValueError, match="no verdicts"):
        lower(Learnt(), tolerance=0.0)


def test_the_bound_is_above_the_rate_once_in_twenty():
    """Over 2000 references of 300 verdicts at 0.95 the bound misses in at most 5 % and some chance."""
    source = random.Random(7)
    counts = [sum(source.random() < 0.95 for _ in range(300)) for _ in range(2000)]
    bound = {count: lower(passes(count, 300), tolerance=0.0) for count in set(counts)}
    missed = sum(bound[count] > 0.95 for count in counts)
    assert 0.01 < missed / len(counts) <= 0.065


@given(verdicts, st.randoms(use_true_random=False), st.integers(0, 60))
def test_sums_add_in_any_order_and_grouping_bit_for_bit(seen, shuffling, cut):
    """Rows in another order, or split between replicas, give the same reference."""
    shuffled = shuffling.sample(seen, len(seen))
    apart = learnt(shuffled[:cut]).added(learnt(shuffled[cut:]))
    assert repr(apart) == repr(learnt(seen))


@given(verdicts)
def test_learnt_sums_survive_json_and_bound_the_mean(seen):
    """They come back from text as they were; the bound is a rate no higher than the mean."""
    sums = learnt(seen)
    assert repr(Learnt.of_json(json.loads(json.dumps(sums.as_json())))) == repr(sums)
    assert 0 <= lower(sums, tolerance=0.0) <= sums.mean + 1e-9


def test_bets_that_all_agree_tell_as_much_as_there_are_bets() -> None:
    """Thirty sessions of 34 good turns each: one in five series of a true 0.95 looks like this."""
    sums = Learnt()
    for _ in range(30):
        sums = sums.seen(1.0, 1.0, 34)
    assert lower(sums, tolerance=0.0) == pytest.approx(0.05 ** (1 / 30))
