"""The test upward: when it lets an alert go, and that no order shows in it."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.recovery import Recovery, advance, begin, recovered

bets = st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1)), max_size=40)


def after(reference, tolerance, closed):
    """The state after blocks of bets."""
    recovery = begin(reference, tolerance)
    for block in closed:
        recovery = advance(recovery, block)
    return recovery


def passes_until_recovered(rate, *, reference, tolerance, worst, seed):
    """Verdicts until recovery, the first hundred at the rate `worst` and the rest at `rate`; at most 20,000."""
    source = random.Random(seed)
    recovery, seen = begin(reference, tolerance), 0
    while not recovered(recovery) and seen < 20_000:
        level = worst if seen < 100 else rate
        recovery = advance(recovery, [(1.0, float(source.random() < level)) for _ in range(10)])
        seen += 10
    return seen


def test_a_hundred_bets_measure_the_rate_and_set_half_the_way_back():
    """Whole blocks are measured until a hundred bets were seen; the block that reaches it makes no bet."""
    failing = [(1.0, 0.0)] * 30
    passing = [(1.0, 1.0)] * 30
    early = after(0.95, 0.02, [passing, passing, failing])
    assert (early.seen, early.resolved_at) == (90, None)
    measured = advance(early, failing)
    assert measured.resolved_at == pytest.approx((0.95 + 0.5) / 2)
    assert measured.sums == (0.0,) * 5


def test_a_rate_just_below_the_reference_has_to_come_back_by_half_the_tolerance():
    """Where the fresh mean is near or above the reference, the reference less half the tolerance has to be beaten."""
    assert after(0.95, 0.03, [[(1.0, 1.0)] * 100]).resolved_at == pytest.approx(0.935)


def test_the_measured_rate_is_weighted():
    """Weights of a sampled stream count in the fresh mean."""
    block = [(0.1, 1.0)] * 90 + [(1.0, 0.0)] * 10
    assert after(0.9, 0.0, [block]).resolved_at == pytest.approx((0.9 + 9 / 19) / 2)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_any_measured_rate_gives_a_rate_that_can_be_bet_on(rate):
    """Also at the ends of the scale."""
    for reference in (0.0, 0.5, 1.0):
        recovery = after(reference, 0.1, [[(1.0, rate)] * 100, [(1.0, 0.0)] * 10, [(1.0, 1.0)] * 10])
        assert 0 < recovery.resolved_at < 1
        assert all(math.isfinite(each) and each >= 0 for each in recovery.sums)


@given(st.lists(bets, max_size=10), st.randoms(use_true_random=False))
def test_the_order_within_a_block_does_not_show(closed, shuffling):
    """The same blocks in another inner order give the same state, bit for bit."""
    shuffled = [shuffling.sample(block, len(block)) for block in closed]
    assert repr(after(0.9, 0.02, closed)) == repr(after(0.9, 0.02, shuffled))


@given(st.lists(bets, max_size=10), st.floats(0, 1), st.floats(0, 0.2))
def test_recovery_survives_json_bit_for_bit(closed, reference, tolerance):
    """The state comes back from text as it was."""
    recovery = after(reference, tolerance, closed)
    again = Recovery.of_json(json.loads(json.dumps(recovery.as_json(), allow_nan=False)))
    assert repr(again) == repr(recovery)


@given(st.floats(0.001, 0.999), st.integers(0, 4), st.floats(0.01, 1))
def test_a_rate_at_the_bound_wins_nothing(resolved_at, gambler, weight):
    """At the rate that has to be beaten, a pass and a failure average to what was staked."""
    state = Recovery(
        reference=0.95, tolerance=0.0, seen=100, weight=1.0, weighted=0.0, resolved_at=resolved_at, sums=(0.0,) * 5
    )
    at_pass = advance(state, [(weight, 1.0)]).sums[gambler]
    at_failure = advance(state, [(weight, 0.0)]).sums[gambler]
    assert resolved_at * at_pass + (1 - resolved_at) * at_failure <= 1 + 1e-12


def test_endless_passes_overflow_into_a_bound():
    """Ten blocks of a hundred thousand passes recover, and stay numbers."""
    recovery = after(0.5, 0.1, [[(1.0, 0.0)] * 100] + [[(1.0, 1.0)] * 20_000] * 10)
    assert recovered(recovery)
    assert all(math.isfinite(each) for each in recovery.sums)


def test_a_rate_that_came_back_resolves_and_one_that_did_not_does_not():
    """After a fall from 0.95 to 0.75: back at 0.95 it takes about 115 verdicts, at 0.75 it does not come in 3000."""
    back = [passes_until_recovered(0.95, reference=0.95, tolerance=0.05, worst=0.75, seed=seed) for seed in range(40)]
    assert 170 < sum(back) / len(back) < 280, "the first hundred are measured"
    source = random.Random(1)
    still = after(0.95, 0.05, [[(1.0, float(source.random() < 0.75)) for _ in range(10)] for _ in range(310)])
    assert not recovered(still)
