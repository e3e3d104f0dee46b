"""A sequential test of one series against its reference: has the rate fallen, at any time, looked at every minute?

A score y is in 0..1, 1 is good. The null says that the mean of every next score, whatever came before, is at least the
reference p. Eight gamblers bet against it, each with money that is put in steadily (the deposits): gambler k's stake
is multiplied by 1 + b_k * x at a bet of size x = w * (p - y), where w = pi_min / pi is in (0, 1]. Under the null no
bet has a positive mean, so that at any time E[money taken out] <= money put in. An alarm takes the threshold out:
on average there is at most one false alarm in every `threshold` of deposits, restarts and any dependence between
series included. This is the e-SR detector (Shin, Ramdas, Rinaldo 2022) with likelihood-ratio bets for 0/1 scores.

Stakes change only when a block of verdicts closes. Within a block the logarithms of the factors are summed as
integers, so that neither their order nor the number of replicas shows in the state. All states are finite numbers
that JSON gives back bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp, floor, log1p
from typing import Any

ODDS_RATIOS = tuple(1.25 * 25.6 ** (k / 7) for k in range(8))
"""Gambler k bets on failure odds that have risen by this ratio."""

Factors = tuple[int, ...]
"""By gambler, the sum of floor(2**32 * ln(factor)) over bets."""

NO_FACTORS: Factors = (0,) * len(ODDS_RATIOS)

UNIT = 2**32
_LEAST_FACTOR = 0.05
_LARGEST = 1e300
_LARGEST_EXPONENT = 690.0


def clipped(reference: float) -> float:
    """The reference as far as bets know it, within 0.001..0.999.

    At 1 the odds of failure are 0 and no ratio changes them: any bet would be lost money until the first failure, and
    that failure alone would be an alarm. At 0 nothing can fall. The bets stay valid, because a bet's size is reckoned
    with the true reference and only the fraction that is staked with this one.
    """
    return min(max(reference, 0.001), 0.999)


@lru_cache(maxsize=1024)
def bets(reference: float) -> tuple[float, ...]:
    """The fractions b_k that make 1 + b_k * (p - y) the likelihood ratio of the odds ratio k for a 0/1 score.

    A reference outside 0.001..0.999 is taken as that bound, so that a target of 1.0 works (see `clipped`).
    """
    p = clipped(reference)
    alternatives = (1 / (1 + ratio * (1 - p) / p) for ratio in ODDS_RATIOS)
    return tuple((p - alternative) / (p * (1 - p)) for alternative in alternatives)


def factors(reference: float, x: float, *, lowest: float | None = None) -> Factors:
    """What one bet does to the eight stakes.

    Args:
        reference: the reference of the whole series, which sets the fractions b_k.
        x: the size of the bet: the mean over its verdicts of w * (p_h - y), w in 0..1, p_h the reference of the
            verdict's stratum (the series' own where there are none). Take the mean with `math.fsum`, which does not
            depend on the order.
        lowest: what x would have been had every verdict passed, the mean of -w * (1 - p_h). It has to be given
            where strata have references of their own; else `reference - 1` bounds it. Each b_k is cut so that a
            factor of 0.05 is the least possible. The cut must not look at x itself: a floor below the factors would
            give every series of low strata money for nothing.

    Returns:
        floor(2**32 * ln(1 + b_k * x)) for each k; rounding down keeps the bound.

    Raises:
        ValueError: x outside -1..1, as from a weight above 1, or below `lowest`.
    """
    bound = reference - 1 if lowest is None else lowest
    if not -1 <= x <= 1 or x < bound - 1e-9:
        raise ValueError(f"a bet of size {x} is outside {max(bound, -1)}..1")
    return tuple(floor(UNIT * log1p(fraction * x)) for fraction in cut_bets(reference, bound))


def cut_bets(reference: float, lowest: float) -> tuple[float, ...]:
    """The fractions b_k, cut so that a bet of size `lowest` (at most 0) leaves 5 % of the stake."""
    most = (1 - _LEAST_FACTOR) / max(-lowest, 1e-9)
    return tuple(min(fraction, most) for fraction in bets(reference))


def added(a: Factors, b: Factors) -> Factors:
    """The factors of two sets of bets together."""
    return tuple(left + right for left, right in zip(a, b, strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Onset:
    """Since when one gambler has been winning: a companion that starts again from 1 whenever it falls to 1.

    `since_ms` is the beginning of the first block since then, None while it is at 1. `verdicts` and `failures` (the
    sum of 1 - y) are counted from there. A rate since the onset is biased low, because the start was chosen for it:
    it may be shown, not tested.
    """

    level: float
    since_ms: int | None
    verdicts: int
    failures: float


NO_ONSET = Onset(level=1.0, since_ms=None, verdicts=0, failures=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """The state of one series: the eight stakes and their onsets."""

    sums: tuple[float, ...]
    onsets: tuple[Onset, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain lists and numbers."""
        onsets = [[each.level, each.since_ms, each.verdicts, each.failures] for each in self.onsets]
        return {"sums": list(self.sums), "onsets": onsets}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "Evidence":
        """What `as_json` gave, bit for bit."""
        return cls(
            sums=tuple(float(each) for each in value["sums"]),
            onsets=tuple(
                Onset(level=float(level), since_ms=since_ms, verdicts=verdicts, failures=float(failures))
                for level, since_ms, verdicts, failures in value["onsets"]
            ),
        )


NO_EVIDENCE = Evidence(sums=(0.0,) * len(ODDS_RATIOS), onsets=(NO_ONSET,) * len(ODDS_RATIOS))


def advance(
    evidence: Evidence, moved: Factors, *, deposit: float, at_ms: int, verdicts: int, failures: float
) -> Evidence:
    """The state after one closed block: R_k <- (R_k + deposit / 8) * exp(moved_k / 2**32).

    Args:
        evidence: the state before it.
        moved: the sum of the block's factors.
        deposit: what is put in, 0 or more; fixed without looking at the block's scores.
        at_ms: when the block began.
        verdicts: how many verdicts bet in it.
        failures: the sum of 1 - y over them.

    Returns:
        A state of finite numbers: stakes are cut at 1e300, which only ever takes money away.
    """
    share = deposit / len(ODDS_RATIOS)
    growths = [exp(min(each / UNIT, _LARGEST_EXPONENT)) for each in moved]
    return Evidence(
        sums=tuple(
            min((stake + share) * growth, _LARGEST) for stake, growth in zip(evidence.sums, growths, strict=True)
        ),
        onsets=tuple(
            _followed(each, growth, at_ms=at_ms, verdicts=verdicts, failures=failures)
            for each, growth in zip(evidence.onsets, growths, strict=True)
        ),
    )


def _followed(before: Onset, growth: float, *, at_ms: int, verdicts: int, failures: float) -> Onset:
    level = min(before.level * growth, _LARGEST)
    if level <= 1:
        return NO_ONSET
    return Onset(
        level=level,
        since_ms=at_ms if before.since_ms is None else before.since_ms,
        verdicts=before.verdicts + verdicts,
        failures=before.failures + failures,
    )


def strength(evidence: Evidence, threshold: float) -> float:
    """The evidence that the rate has fallen: an alarm at 1 or more.

    Args:
        evidence: the state.
        threshold: how much deposit there is, on average, to one false alarm at most; in the deposits' unit, above 0.
    """
    return min(sum(evidence.sums) / threshold, _LARGEST)


def onset(evidence: Evidence) -> Onset:
    """The onset of the gambler who holds most."""
    largest = max(range(len(evidence.sums)), key=evidence.sums.__getitem__)
    return evidence.onsets[largest]
