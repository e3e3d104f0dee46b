"""The detector on traffic as it comes: sampled with weights, in blocks and fleets, in sessions, with rates that wobble.

States are moved as the ledger moves them: integer sums of factors, one deposit a block, `exp` at its closing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.stats.sequential import ODDS_RATIOS, UNIT, factors

SHARE = 1 / len(ODDS_RATIOS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stratum:
    """A part of the traffic: its share of it, its pass rate, and the share of it that is kept."""

    share: float
    rate: float
    kept: float


SHOP = (
    Stratum(share=0.90, rate=0.97, kept=0.1),
    Stratum(share=0.08, rate=0.85, kept=0.5),
    Stratum(share=0.02, rate=0.0, kept=1.0),
)


class SampledBets:
    """Kept verdicts of a sampled traffic as bets, weighted or not, against one reference or each stratum's own."""

    def __init__(self, strata: Sequence[Stratum], *, weighted: bool = True, own_references: bool = False) -> None:
        self.reference = sum(each.share * each.rate for each in strata)
        least = min(each.kept for each in strata)
        moves = []
        for each in strata:
            weight = least / each.kept if weighted else 1.0
            against = each.rate if own_references else self.reference
            lowest = -weight * (1 - against)
            moves += [factors(self.reference, weight * (against - y), lowest=lowest) for y in (1.0, 0.0)]
        self.moves = np.exp(np.array(moves) / UNIT)

    @staticmethod
    def chances(strata: Sequence[Stratum]) -> np.ndarray:
        """Of each stratum's pass and failure, among kept verdicts."""
        kept = [(each.share * each.kept * each.rate, each.share * each.kept * (1 - each.rate)) for each in strata]
        flat = np.array(kept).ravel()
        return flat / flat.sum()

    def false_alarms(
        self, rng: np.random.Generator, strata: Sequence[Stratum], threshold: float, *, runs: int, verdicts: int
    ) -> float:
        """The mean number of alarms in `threshold` kept verdicts of this traffic, starting anew after each."""
        stakes, alarms = np.zeros((runs, len(ODDS_RATIOS))), 0
        for outcomes in self._drawn(rng, strata, runs, verdicts):
            stakes = (stakes + SHARE) * self.moves[outcomes]
            fired = stakes.sum(axis=1) >= threshold
            alarms += int(fired.sum())
            stakes[fired] = 0.0
        return alarms / (runs * verdicts / threshold)

    def delay(self, rng: np.random.Generator, strata: Sequence[Stratum], threshold: float, *, runs: int) -> float:
        """The mean number of requests, kept or not, from the change to this traffic until the alarm."""
        stakes, total = np.zeros((runs, len(ODDS_RATIOS))), 0
        for verdict, outcomes in enumerate(self._drawn(rng, strata, runs, 100_000), start=1):
            stakes = (stakes + SHARE) * self.moves[outcomes[: len(stakes)]]
            going_on = stakes.sum(axis=1) < threshold
            total += verdict * int((~going_on).sum())
            stakes = stakes[going_on]
            if not len(stakes):
                break
        return total / runs / sum(each.share * each.kept for each in strata)

    def _drawn(self, rng: np.random.Generator, strata: Sequence[Stratum], runs: int, verdicts: int):
        edges = np.cumsum(self.chances(strata))[:-1]
        for _ in range(verdicts):
            yield np.searchsorted(edges, rng.random(runs), side="right")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """Series that share one budget by the clock: each has an equal share, and puts in the hours since its last block.

    `together` says how many series judge the same requests with one and the same luck, the worst dependence.
    """

    references: tuple[float, ...]
    per_hour: float
    minutes: int
    together: int = 1


def fleet_false_alarms(
    rng: np.random.Generator, fleet: Fleet, *, days: float, budget_days: float, copies: int
) -> tuple[float, float]:
    """False alarms in each `budget_days` over the whole fleet, with the standard error over independent copies.

    Args:
        rng: the source of luck.
        fleet: the series.
        days: how long each copy runs.
        budget_days: the days to one false alarm at most, on average.
        copies: how many fleets run beside each other.
    """
    references = np.array(fleet.references)
    at_pass = np.array([factors(p, p - 1) for p in fleet.references])
    at_failure = np.array([factors(p, p) for p in fleet.references])
    stakes = np.zeros((copies, len(references), len(ODDS_RATIOS)))
    waited = np.zeros((copies, len(references)))
    hours = fleet.minutes / 60
    alarms = np.zeros(copies)
    for _ in range(round(days * 24 / hours)):
        count, passed = _block(rng, fleet, references, fleet.per_hour * hours, copies)
        waited += hours
        # Blocks without verdicts are not closed: most of them, where a block is a minute.
        copy, series = np.nonzero(count)
        moved = passed[copy, series, None] * at_pass[series]
        moved += (count - passed)[copy, series, None] * at_failure[series]
        deposit = np.minimum(waited[copy, series], 24.0) / len(references)
        waited[copy, series] = 0.0
        grown = (stakes[copy, series] + deposit[:, None] * SHARE) * np.exp(moved / UNIT)
        fired = grown.sum(axis=1) >= budget_days * 24
        grown[fired] = 0.0
        stakes[copy, series] = grown
        alarms += np.bincount(copy[fired], minlength=copies)
    each = alarms / (days / budget_days)
    return float(each.mean()), float(each.std(ddof=1) / copies**0.5)


def _block(
    rng: np.random.Generator, fleet: Fleet, references: np.ndarray, verdicts: float, copies: int
) -> tuple[np.ndarray, np.ndarray]:
    if fleet.together == 1:
        count = rng.poisson(verdicts, size=(copies, len(references)))
        return count, rng.binomial(count, references)
    groups = references.reshape(-1, fleet.together)
    requests = rng.poisson(verdicts, size=(copies, len(groups)))
    passed = np.empty((copies, *groups.shape), dtype=np.int64)
    for number, rates in enumerate(groups):
        order = np.argsort(rates)
        # One uniform number a request: whoever passes it at a low rate passes it at all higher ones.
        shares = np.diff(rates[order], prepend=0.0, append=1.0)
        passed[:, number, order] = np.cumsum(rng.multinomial(requests[:, number], shares), axis=1)[:, :-1]
    count = np.broadcast_to(requests[:, :, None], passed.shape)
    return count.reshape(copies, -1), passed.reshape(copies, -1)


def session_false_alarms(
    rng: np.random.Generator, reference: float, correlation: float, *, threshold: float, runs: int, sessions: int
) -> tuple[float, float]:
    """Alarms per budget where five verdicts of a session share their luck: bet one by one, and once a session."""
    size = 5
    spread = 1 / correlation - 1
    single = np.array([factors(reference, reference - 1), factors(reference, reference)])
    whole = np.array([factors(reference, reference - passed / size) for passed in range(size + 1)])
    found = np.zeros(2)
    one_by_one, by_session = np.zeros((2, runs, len(ODDS_RATIOS)))
    for _ in range(sessions):
        rates = rng.beta(reference * spread, (1 - reference) * spread, size=runs)
        passes = rng.random((size, runs)) < rates
        for row in passes:
            one_by_one = (one_by_one + SHARE) * np.exp(single[1 - row] / UNIT)
            found[0] += _cleared(one_by_one, threshold)
        by_session = (by_session + size * SHARE) * np.exp(whole[passes.sum(axis=0)] / UNIT)
        found[1] += _cleared(by_session, threshold)
    budgets = runs * sessions * size / threshold
    return found[0] / budgets, found[1] / budgets


def wobbling_false_alarms(
    rng: np.random.Generator, reference: float, *, threshold: float, runs: int, hours: int
) -> tuple[float, float]:
    """Alarms per budget where in one hour of ten the odds of failure triple, the mean kept: by verdict and by hour."""
    per_hour = 20
    calm = _calm_rate(reference)
    bad = calm / (calm + 3 * (1 - calm))
    at_pass, at_failure = (np.array(factors(reference, x)) for x in (reference - 1, reference))
    whole = np.array([factors(reference, reference - passed / per_hour) for passed in range(per_hour + 1)])
    found = np.zeros(2)
    by_verdict, by_hour = np.zeros((2, runs, len(ODDS_RATIOS)))
    for _ in range(hours):
        rates = np.where(rng.random(runs) < 0.1, bad, calm)
        passes = rng.binomial(per_hour, rates)
        moved = passes[:, None] * at_pass + (per_hour - passes)[:, None] * at_failure
        by_verdict = (by_verdict + per_hour * SHARE) * np.exp(moved / UNIT)
        by_hour = (by_hour + per_hour * SHARE) * np.exp(whole[passes] / UNIT)
        found += (_cleared(by_verdict, threshold), _cleared(by_hour, threshold))
    budgets = runs * hours * per_hour / threshold
    return found[0] / budgets, found[1] / budgets


def _calm_rate(mean: float) -> float:
    """The rate of the calm hours, so that nine of them and one with threefold odds of failure have this mean."""
    low, high = mean, 1.0
    for _ in range(60):
        calm = (low + high) / 2
        bad = calm / (calm + 3 * (1 - calm))
        low, high = (calm, high) if 0.9 * calm + 0.1 * bad < mean else (low, calm)
    return (low + high) / 2


def _cleared(stakes: np.ndarray, threshold: float) -> int:
    fired = stakes.sum(axis=1) >= threshold
    stakes[fired] = 0.0
    return int(fired.sum())
