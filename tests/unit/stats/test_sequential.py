"""The sequential test against known values, exact arithmetic and its own laws."""

import itertools
import json
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.sequential import (
    NO_EVIDENCE,
    NO_FACTORS,
    ODDS_RATIOS,
    added,
    advance,
    bets,
    factors,
    onset,
    strength,
)

BETS = {
    0.95: (0.246914, 0.940122, 1.946954, 3.345109, 5.170323, 7.369973, 9.779227, 12.156863),
    0.80: (0.238095, 0.823933, 1.506880, 2.227450, 2.911958, 3.500350, 3.964202, 4.305556),
}

# reference, scores, weights, deposits: the sum of the stakes.
SUMS = [
    (0.95, (1,) * 5, (1,) * 5, (1,) * 5, 2.65891447),
    (0.95, (0,) * 10, (1,) * 10, (1,) * 10, 1.51594459e10),
    (0.80, (1, 1, 0, 1, 1, 0, 1, 0, 0, 0), (1,) * 10, (1,) * 10, 139.981789),
    (0.90, (0.9, 0.7, 0.4, 0.95, 0.2, 0.6), (1,) * 6, (1,) * 6, 141.413432),
    (0.90, (1, 0, 0, 1, 0), (1, 0.1, 0.5, 1, 1), (1,) * 5, 25.3581479),
    (0.90, (1, 0, 0, 1), (1,) * 4, (0.25, 0.5, 1, 0), 8.33568262),
]

# reference: failures in a row from nothing to an alarm at a threshold of 10,000 and of 1,000,000.
IN_A_ROW = {0.99: (4, 5), 0.95: (5, 7), 0.90: (6, 8), 0.80: (7, 11), 0.50: (15, 22)}

scores = st.floats(0, 1)
references = st.floats(0, 1)
weights = st.floats(0.001, 1)
moves = st.lists(st.integers(-(2**45), 2**45), min_size=8, max_size=8).map(tuple)
blocks = st.lists(
    st.tuples(moves, st.floats(0, 1e6), st.integers(0, 2**41), st.integers(0, 10**6), st.floats(0, 1e6)), max_size=20
)


def one_by_one(reference, ys, ws, deposits):
    """The evidence when each verdict is a block of its own."""
    evidence = NO_EVIDENCE
    for number, (y, w, deposit) in enumerate(zip(ys, ws, deposits, strict=True)):
        moved = factors(reference, w * (reference - y))
        evidence = advance(evidence, moved, deposit=deposit, at_ms=number, verdicts=1, failures=1 - y)
    return evidence


def after(closed):
    """The evidence after blocks of any content."""
    evidence = NO_EVIDENCE
    for moved, deposit, at_ms, verdicts, failures in closed:
        evidence = advance(evidence, moved, deposit=deposit, at_ms=at_ms, verdicts=verdicts, failures=failures)
    return evidence


@pytest.mark.parametrize("reference", BETS)
def test_the_fractions_are_the_known_ones(reference):
    """Eight odds ratios from 1.25 to 32 give these fractions."""
    assert ODDS_RATIOS[0] == 1.25
    assert ODDS_RATIOS[7] == pytest.approx(32)
    assert bets(reference) == pytest.approx(BETS[reference], abs=1e-6)


@pytest.mark.parametrize(("reference", "ys", "ws", "deposits", "total"), SUMS)
def test_the_stakes_add_up_to_the_known_sums(reference, ys, ws, deposits, total):
    """Passes, failures, graded scores, weights and uneven deposits, each against an independent reckoning."""
    assert strength(one_by_one(reference, ys, ws, deposits), 1.0) == pytest.approx(total, rel=3e-8)


def test_the_recursion_is_the_sum_over_all_starts():
    """In exact arithmetic the stakes are, over every start j, the products of the factors from j on."""
    reference, ys = 0.8, (1, 0, 1, 1, 0, 0, 1)
    fractions = [Fraction(each) for each in bets(reference)]
    sizes = [Fraction(reference) - y for y in ys]
    exact = sum(
        math.prod((1 + b * x for x in sizes[start:]), start=Fraction(1, 8))
        for b in fractions
        for start in range(len(sizes))
    )
    ours = strength(one_by_one(reference, ys, (1,) * 7, (1,) * 7), 1.0)
    assert ours == pytest.approx(float(exact), rel=1e-8)
    assert ours <= float(exact), "rounding may only take money away"


@pytest.mark.parametrize("reference", IN_A_ROW)
def test_failures_in_a_row_raise_the_alarm_when_they_should(reference):
    """From nothing, a threshold of 10,000 or of 1,000,000 is reached at the known failure and not before."""
    for threshold, wanted in zip((1e4, 1e6), IN_A_ROW[reference], strict=True):
        reached = [
            strength(one_by_one(reference, (0,) * n, (1,) * n, (1,) * n), threshold) >= 1 for n in (wanted - 1, wanted)
        ]
        assert reached == [False, True]


@given(references, weights, scores)
def test_a_bet_leaves_at_least_a_twentieth_and_no_fair_bet_wins(reference, weight, y):
    """Every factor is at least 0.05, and the factors of a pass and a failure at the reference average at most 1."""
    smallest = min(factors(reference, weight * (reference - y)))
    assert math.exp(smallest / 2**32) >= 0.05 * (1 - 1e-9)
    passed, failed = factors(reference, weight * (reference - 1)), factors(reference, weight * reference)
    for at_pass, at_failure in zip(passed, failed, strict=True):
        mean = reference * math.exp(at_pass / 2**32) + (1 - reference) * math.exp(at_failure / 2**32)
        assert mean <= 1 + 1e-12


@given(references, references, weights, scores)
def test_strata_of_any_reference_leave_the_bet_fair(reference, stratum, weight, y):
    """A stratum far below the series' reference cuts the fraction before its score is known, and stays fair."""
    lowest = -weight * (1 - stratum)
    outcomes = [factors(reference, weight * (stratum - score), lowest=lowest) for score in (1, 0, y)]
    for at_pass, at_failure, at_y in zip(*outcomes, strict=True):
        mean = stratum * math.exp(at_pass / 2**32) + (1 - stratum) * math.exp(at_failure / 2**32)
        assert mean <= 1 + 1e-12
        assert math.exp(at_y / 2**32) >= 0.05 * (1 - 1e-9)


@pytest.mark.parametrize(("x", "lowest"), [(1.5, None), (-1.5, None), (-0.6, None), (-0.6, -0.5), (math.nan, None)])
def test_an_impossible_bet_is_refused(x, lowest):
    """A weight above 1, or a stratum whose lowest bet was not told, cannot be made into a fair bet."""
    with pytest.raises(ValueError, match="is outside"):
        factors(0.9, x, lowest=lowest)


def test_a_reference_of_one_can_be_tested():
    """One failure does not raise the alarm by itself, a few do, and passes cost nothing."""
    assert factors(1.0, 0.0) == NO_FACTORS
    assert strength(one_by_one(1.0, (0,), (1,), (1,)), 10_000) < 1
    assert strength(one_by_one(1.0, (0,) * 4, (1,) * 4, (1,) * 4), 10_000) >= 1


@given(st.lists(moves, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_bets_in_a_block_does_not_show(parts, random):
    """Sums of factors are integers: any order and grouping gives the same."""
    shuffled = list(parts)
    random.shuffle(shuffled)
    total = NO_FACTORS
    for each in parts:
        total = added(total, each)
    again = NO_FACTORS
    for each in shuffled:
        again = added(each, again)
    assert total == again


@given(blocks)
def test_evidence_survives_json_bit_for_bit(closed):
    """Whatever the blocks held, the state is finite, not negative, and comes back from text as it was."""
    evidence = after(closed)
    again = type(evidence).of_json(json.loads(json.dumps(evidence.as_json(), allow_nan=False)))
    assert again == evidence
    assert repr(again) == repr(evidence)
    for value in itertools.chain(evidence.sums, (each.level for each in evidence.onsets), [strength(evidence, 1e-3)]):
        assert math.isfinite(value)
        assert value >= 0


def test_endless_failures_overflow_into_a_bound():
    """A million failures in one block, ten times over, are an alarm and not a number that is none."""
    moved = tuple(1_000_000 * each for each in factors(0.999, 0.999))
    evidence = after([(moved, 1.0, 0, 1_000_000, 1e6)] * 10)
    assert 1 <= strength(evidence, 10_000) < math.inf


def test_the_onset_is_the_block_in_which_the_fall_began():
    """A hundred good blocks, then bad ones: the time of the first bad one, and its counts, are told."""
    evidence = NO_EVIDENCE
    for minute in range(110):
        y = 1.0 if minute < 100 else 0.0
        moved = factors(0.9, 0.9 - y)
        evidence = advance(evidence, moved, deposit=1.0, at_ms=minute * 60_000, verdicts=1, failures=1 - y)
    found = onset(evidence)
    assert (found.since_ms, found.verdicts, found.failures) == (100 * 60_000, 10, 10.0)
    assert found.level > 1


def test_without_a_fall_there_is_no_onset():
    """While all is well no gambler holds more than he began with."""
    found = onset(one_by_one(0.9, (1,) * 20, (1,) * 20, (1,) * 20))
    assert (found.since_ms, found.verdicts, found.failures) == (None, 0, 0.0)
