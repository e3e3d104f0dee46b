"""What human labels say of a judge: how far it agrees with people, and the pass rate corrected for its errors.

Sources: Angelopoulos, Duchi, Zrnic, "PPI++: Efficient Prediction-Powered Inference" (2023); Cohen (1960); Wilson
(1927). Labels must have been drawn at random; weights are inverse inclusion probabilities, in any common unit. With
unequal weights n stands for the effective number (sum w)^2 / sum w^2 (Kish), the count itself where all are equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

from scipy.stats import norm

PPI_FROM: Final = 80
"""Effective labels from which PPI++ covers what it claims; below it is post-stratification that does."""

Method = Literal["post-stratified", "ppi++"]
_LEVEL: Final = 0.95
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Things of one kind: how many, the sum of their weights, and of the squares of these."""

    count: int = 0
    weight: float = 0.0
    squares: float = 0.0

    @classmethod
    def equal(cls, count: int) -> "Tally":
        """So many of weight 1."""
        return cls(count=count, weight=float(count), squares=float(count))

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            count=self.count + other.count,
            weight=self.weight + other.weight,
            squares=self.squares + other.squares,
        )

    def without(self, other: "Tally") -> "Tally":
        """What is left when those are taken away, never less than nothing."""
        return Tally(
            count=max(0, self.count - other.count),
            weight=max(0.0, self.weight - other.weight),
            squares=max(0.0, self.squares - other.squares),
        )

    @property
    def effective(self) -> float:
        """The number of equally weighted things that tell as much."""
        return self.weight * self.weight / self.squares if self.squares > 0 else 0.0


NONE: Final = Tally()


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Judged traces with a human label, by what both say."""

    both_pass: Tally = NONE
    human_pass: Tally = NONE
    """The human passes them, the judge fails them."""
    judge_pass: Tally = NONE
    """The judge passes them, the human fails them."""
    both_fail: Tally = NONE

    @property
    def total(self) -> Tally:
        """All of them."""
        return self.both_pass + self.human_pass + self.judge_pass + self.both_fail

    @property
    def passed_by_judge(self) -> Tally:
        """Those that the judge passes."""
        return self.both_pass + self.judge_pass

    @property
    def failed_by_judge(self) -> Tally:
        """Those that the judge fails."""
        return self.human_pass + self.both_fail

    @property
    def passed_by_human(self) -> Tally:
        """Those that the human passes."""
        return self.both_pass + self.human_pass

    @property
    def agreed(self) -> Tally:
        """Those of which both say the same."""
        return self.both_pass + self.both_fail


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """Verdicts of the judge, errors left out."""

    passed: Tally = NONE
    failed: Tally = NONE

    @property
    def total(self) -> Tally:
        """All of them."""
        return self.passed + self.failed

    def without(self, labelled: Labelled) -> "Judged":
        """Those without a label."""
        return Judged(
            passed=self.passed.without(labelled.passed_by_judge), failed=self.failed.without(labelled.failed_by_judge)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How far two agree on the same traces: the share, and Cohen's kappa, which is 0 where chance alone does as well.

    `n` is how many traces it rests on. Kappa is None where both always say the same one thing.
    """

    n: int
    share: float
    lower: float
    upper: float
    kappa: float | None
    kappa_lower: float | None
    kappa_upper: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CorrectedRate:
    """The pass rate that people would have given all judged traffic, 0..1, with a 95 % interval."""

    rate: float
    lower: float
    upper: float
    labels: int
    method: Method


def wilson_interval(share: float, n: float, *, level: float = _LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share of n; n need not be whole. (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    z = float(norm.isf((1 - level) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and 1 rounding alone would leave the share outside.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def agreement_of(labelled: Labelled) -> Agreement | None:
    """How far judge and human agree, None without a label.

    The interval of the share is Wilson's. That of kappa maps it, with the agreement by chance held where it was seen:
    it held the truth in 93 to 100 of 100 simulations with five judges and 10 to 200 labels, where the interval from
    kappa's own standard error held it in 19 to 84 with ten labels, and in 64 to 92 with forty.
    """
    total = labelled.total
    if total.weight <= 0:
        return None
    share = labelled.agreed.weight / total.weight
    lower, upper = wilson_interval(share, total.effective)
    human = labelled.passed_by_human.weight / total.weight
    judge = labelled.passed_by_judge.weight / total.weight
    chance = human * judge + (1 - human) * (1 - judge)

    def kappa(agreed: float) -> float | None:
        return None if chance >= 1 else max(-1.0, (agreed - chance) / (1 - chance))

    return Agreement(
        n=total.count,
        share=share,
        lower=lower,
        upper=upper,
        kappa=kappa(share),
        kappa_lower=kappa(lower),
        kappa_upper=kappa(upper),
    )


def corrected_rate(labelled: Labelled, judged: Judged, unlabelled: Judged) -> CorrectedRate | None:
    """The corrected pass rate of all that was judged, labelled or not; None without a label or without verdicts.

    Args:
        labelled: labels on traces drawn at random, all of them judged.
        judged: every verdict, of the labelled traces too.
        unlabelled: those without a label, in the unit of `judged`; labels have another one where they are drawn.
    """
    if labelled.total.weight <= 0 or judged.total.weight <= 0:
        return None
    # Eighty weights of a tenth are eighty labels, whatever rounding says.
    if labelled.total.effective < PPI_FROM - _ROUNDING or unlabelled.total.effective <= 0:
        return post_stratified(labelled, judged)
    return ppi_plus_plus(labelled, unlabelled)


def post_stratified(labelled: Labelled, judged: Judged) -> CorrectedRate:
    """What people say of passes and of fails, each smoothed by one pass and one fail, by the judge's shares of both."""
    share = judged.passed.weight / judged.total.weight
    passed, passed_variance = _smoothed(labelled.both_pass, labelled.passed_by_judge)
    failed, failed_variance = _smoothed(labelled.human_pass, labelled.failed_by_judge)
    variance = (
        share * share * passed_variance
        + (1 - share) * (1 - share) * failed_variance
        + share * (1 - share) * (passed - failed) ** 2 / judged.total.effective
    )
    return _around(share * passed + (1 - share) * failed, variance, labelled.total.count, "post-stratified")


def _smoothed(passed: Tally, cell: Tally) -> tuple[float, float]:
    """Add-one estimate of the human's pass rate in a cell, and the variance of that."""
    n = cell.effective
    rate = (n * (passed.weight / cell.weight) + 1) / (n + 2) if cell.weight > 0 else 0.5
    return rate, rate * (1 - rate) / (n + 2)


def ppi_plus_plus(labelled: Labelled, unlabelled: Judged, power: float | None = None) -> CorrectedRate:
    """The human mean, moved by what the unlabelled verdicts tell (prediction-powered inference, power-tuned).

    Args:
        labelled: at least one label.
        unlabelled: at least one verdict without a label.
        power: how much the verdicts are trusted, lambda in 0..1; the best for the variance if None.
    """
    total = labelled.total
    n, more = total.effective, unlabelled.total.effective
    human = labelled.passed_by_human.weight / total.weight
    judge = labelled.passed_by_judge.weight / total.weight
    both = labelled.both_pass.weight / total.weight
    rest = unlabelled.passed.weight / unlabelled.total.weight
    if power is None:
        power = _best_power(both - human * judge, (n * judge + more * rest) / (n + more), n, more)
    residuals = human * (1 - human) + power * power * judge * (1 - judge) - 2 * power * (both - human * judge)
    variance = power * power * rest * (1 - rest) / more + max(0.0, residuals) / n
    return _around(power * rest + human - power * judge, variance, total.count, "ppi++")


def _best_power(covariance: float, judged: float, n: float, more: float) -> float:
    variance = judged * (1 - judged) * (n + more) / (n + more - 1) if n + more > 1 else 0.0
    return min(1.0, max(0.0, covariance / ((1 + n / more) * variance))) if variance > 0 else 0.0


def _around(rate: float, variance: float, labels: int, method: Method) -> CorrectedRate:
    half = float(norm.isf((1 - _LEVEL) / 2)) * sqrt(variance)
    within = min(1.0, max(0.0, rate))
    lower, upper = max(0.0, min(within, rate - half)), min(1.0, max(within, rate + half))
    return CorrectedRate(rate=within, lower=lower, upper=upper, labels=labels, method=method)


def labelled_of(pairs: Mapping[tuple[bool, bool], Tally]) -> Labelled:
    """The cells by (human passes, judge passes)."""
    return Labelled(
        both_pass=pairs.get((True, True), NONE),
        human_pass=pairs.get((True, False), NONE),
        judge_pass=pairs.get((False, True), NONE),
        both_fail=pairs.get((False, False), NONE),
    )
