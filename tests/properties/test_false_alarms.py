"""The budget of false alarms, held over many simulated months with fixed seeds.

The modules that the daemon runs are moved as it moves them: integer sums of factors, one deposit and one step a block.
"""

import numpy as np
import pytest
from benchmarks.simulated_detectors import Stakes
from benchmarks.simulated_traffic import SHOP

from monitor.stats.recovery import advance as advance_recovery
from monitor.stats.recovery import begin, recovered
from monitor.stats.sequential import NO_EVIDENCE, NO_FACTORS, added, advance, factors, strength

PER_HOUR = 20


class _Series:
    """One series that starts anew after each alarm."""

    def __init__(self, reference: float) -> None:
        self.reference = reference
        self.at_pass = factors(reference, reference - 1)
        self.at_failure = factors(reference, reference)
        self.evidence = NO_EVIDENCE
        self.alarms = 0

    def close(self, count: int, passed: int, deposit: float, threshold: float) -> None:
        """A block of 0/1 scores."""
        failed = count - passed
        moved = tuple(passed * a + failed * b for a, b in zip(self.at_pass, self.at_failure, strict=True))
        self.move(moved, deposit, threshold)

    def move(self, moved: tuple[int, ...], deposit: float, threshold: float) -> None:
        """A block."""
        self.evidence = advance(self.evidence, moved, deposit=deposit, at_ms=0, verdicts=0, failures=0.0)
        if strength(self.evidence, threshold) >= 1:
            self.alarms += 1
            self.evidence = NO_EVIDENCE


def test_seven_months_of_ten_series_that_share_the_clock_stay_within_the_budget():
    """Hourly blocks, deposits by the clock, series that come and go: at most one false alarm in two days in all."""
    rng = np.random.default_rng(11)
    days, budget_days = 210, 2
    live = [_Series(reference) for reference in (0.8, 0.85, 0.9, 0.95, 0.99) * 2]
    gone = []
    for hour in range(days * 24):
        if hour % 500 == 499:
            gone.append(live.pop(0))
            live += [_Series(reference) for reference in ((0.9,), (0.95, 0.8), ())[len(gone) % 3]]
        for each in live:
            count = int(rng.poisson(PER_HOUR))
            if count:
                passed = int(rng.binomial(count, each.reference))
                each.close(count, passed, deposit=1 / len(live), threshold=budget_days * 24)
    alarms = sum(each.alarms for each in live + gone)
    assert 0.1 * days / budget_days < alarms <= 0.8 * days / budget_days


def test_graded_scores_stay_within_the_budget():
    """Scores close together leave little to overshoot the threshold by, so that the budget is nearly used up."""
    rng = np.random.default_rng(12)
    reference, threshold, verdicts = 0.8, 300, 60_000
    series = _Series(reference)
    for y in rng.beta(reference * 20, (1 - reference) * 20, size=verdicts).tolist():
        series.move(factors(reference, reference - y), 1.0, threshold)
    assert 0.6 * verdicts / threshold < series.alarms <= verdicts / threshold


@pytest.mark.parametrize("own_references", [False, True])
def test_sampled_verdicts_stay_within_the_budget(own_references):
    """Errors kept always and the rest at a tenth: weights undo it. Without them there are 100 times as many alarms."""
    rng = np.random.default_rng(13)
    threshold, verdicts = 1000, 60_000
    overall = sum(each.share * each.rate for each in SHOP)
    moves, chances = [], []
    for each in SHOP:
        weight = 0.1 / each.kept
        against = each.rate if own_references else overall
        moves += [factors(overall, weight * (against - y), lowest=-weight * (1 - against)) for y in (1.0, 0.0)]
        chances += [each.share * each.kept * each.rate, each.share * each.kept * (1 - each.rate)]
    series = _Series(overall)
    drawn = rng.choice(len(moves), p=np.array(chances) / sum(chances), size=(verdicts // 10, 10))
    for block in drawn.tolist():
        moved = NO_FACTORS
        for outcome in block:
            moved = added(moved, moves[outcome])
        series.move(moved, 10.0, threshold)
    assert 0.2 * verdicts / threshold < series.alarms <= verdicts / threshold


def test_sessions_that_bet_once_stay_within_the_budget():
    """Five verdicts that share their luck are one bet, of their mean; one by one they alarm many times too often."""
    rng = np.random.default_rng(14)
    reference, threshold, sessions = 0.95, 1000, 12_000
    together, apart = _Series(reference), _Series(reference)
    rates = rng.beta(reference * 2, (1 - reference) * 2, size=sessions)
    for passed in rng.binomial(5, rates).tolist():
        together.move(factors(reference, reference - passed / 5), 5.0, threshold)
        apart.close(5, passed, 5.0, threshold)
    budget = 5 * sessions / threshold
    assert together.alarms <= budget
    assert apart.alarms > 3 * budget


def test_recoveries_that_are_wrong_stay_within_their_budget():
    """At the very rate that has to be beaten, at most one alert in a thousand bets ends."""
    rng = np.random.default_rng(15)
    found, bets = 0, 100_000
    measured = advance_recovery(begin(0.9, 0.05), [(1.0, float(number % 5 != 0)) for number in range(100)])
    state = measured
    assert state.resolved_at is not None
    for block in (rng.random((bets // 20, 20)) < state.resolved_at).astype(float).tolist():
        state = advance_recovery(state, [(1.0, y) for y in block])
        if recovered(state):
            found += 1
            state = measured
    assert 0.1 * bets / 1000 < found <= bets / 1000


def test_the_benchmark_simulates_the_detector_that_runs():
    """Its stakes in numpy are those of the module, verdict by verdict."""
    rng = np.random.default_rng(16)
    series, stakes = _Series(0.9), Stakes(0.9, 1)
    for passed in (rng.random(200) < 0.8).tolist():
        series.close(1, int(passed), 1.0, 1e300)
        if passed:
            stakes.passes(np.array([1]))
        else:
            stakes.failure()
        assert stakes.R[0] == pytest.approx(series.evidence.sums, rel=1e-9)
