"""Two versions judged on the same rows: paired pass and fail, an interval, a p-value, a verdict.

A row on which the baseline passed and the candidate failed counts in `pass_to_fail` (b), the other way round in
`fail_to_pass` (c). Everything is decided from b, c and the number of rows n; the difference is (c - b) / n.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

from scipy.optimize import brentq
from scipy.stats import binom, norm

PairedVerdict = Literal["improved", "regressed", "equivalent", "inconclusive"]

ALPHA = 0.05
POWER = 0.8


@dataclass(frozen=True, kw_only=True, slots=True)
class PairCounts:
    """Rows by what became of them from the baseline to the candidate; all counts are 0 or more."""

    both_pass: int
    pass_to_fail: int
    fail_to_pass: int
    both_fail: int

    @property
    def rows(self) -> int:
        """All pairs."""
        return self.both_pass + self.pass_to_fail + self.fail_to_pass + self.both_fail


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedResult:
    """One scorer's comparison. Rates and their difference are in 0..1; what n = 0 leaves undefined is None."""

    counts: PairCounts
    baseline_rate: float | None
    candidate_rate: float | None
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p_mid: float | None
    p_exact: float | None
    p_adjusted: float | None
    verdict: PairedVerdict
    rows_needed: int | None


def exact_p(pass_to_fail: int, fail_to_pass: int) -> float:
    """Two-sided exact McNemar p-value, 1 when no row changed."""
    discordant = pass_to_fail + fail_to_pass
    return min(1.0, 2 * float(binom.cdf(min(pass_to_fail, fail_to_pass), discordant, 0.5)))


def mid_p(pass_to_fail: int, fail_to_pass: int) -> float:
    """Two-sided mid-p McNemar value (Fagerland, Lydersen, Laake 2013); 1 by convention when no row changed."""
    discordant = pass_to_fail + fail_to_pass
    if discordant == 0:
        return 1.0
    smaller = min(pass_to_fail, fail_to_pass)
    point = float(binom.pmf(smaller, discordant, 0.5))
    if pass_to_fail == fail_to_pass:
        return 1 - point / 2
    return 2 * float(binom.cdf(smaller, discordant, 0.5)) - point


def tango_interval(pass_to_fail: int, fail_to_pass: int, rows: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of the difference of two paired rates (Tango 1998).

    Returns:
        The bounds of (fail_to_pass - pass_to_fail) / rows, each in -1..1.

    Raises:
        ValueError: no rows, or more changes than rows.
    """
    if rows < 1 or pass_to_fail + fail_to_pass > rows:
        raise ValueError(f"{pass_to_fail} + {fail_to_pass} changed rows do not fit into {rows} rows")
    z = float(norm.isf((1 - confidence) / 2))
    return _tango_lower(pass_to_fail, fail_to_pass, rows, z), -_tango_lower(fail_to_pass, pass_to_fail, rows, z)


def _tango_lower(b: int, c: int, n: int, z: float) -> float:
    if b == n:
        return -1.0

    def above(d: float) -> float:
        linear = -b - c + (2 * n - c + b) * d
        constant = -b * d * (1 - d)
        q = (sqrt(max(0.0, linear * linear - 8 * n * constant)) - linear) / (4 * n)
        return c - b - n * d - z * sqrt(max(0.0, n * (2 * q + d * (1 - d))))

    # Just below the estimate: at it the score is 0 by itself when no row changed.
    return float(brentq(above, -1.0, (c - b) / n - 1e-9, xtol=1e-13))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjustment, in the order given: reject where the adjusted value is at most alpha."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def rows_for_difference(discordant: float, difference: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """Rows that McNemar's test needs (Connor 1987), not rounded.

    Args:
        discordant: the share of rows that change either way, in 0..1.
        difference: the difference of the rates; not 0.
        alpha: two-sided level of this one test.
        power: chance to find the difference.
    """
    z_alpha, z_power = float(norm.isf(alpha / 2)), float(norm.ppf(power))
    root = z_alpha * sqrt(discordant) + z_power * sqrt(max(0.0, discordant - difference * difference))
    return (root / difference) ** 2


def rows_for_equivalence(discordant: float, margin: float) -> float:
    """Rows that show with 90 % power a true difference of 0 to be smaller than the margin, not rounded."""
    return discordant * ((float(norm.isf(0.05)) + float(norm.isf(0.10))) / margin) ** 2


def rows_needed(counts: PairCounts, *, scorers: int, margin: float, alpha: float = ALPHA) -> int:
    """How many rows would decide, if the changes went on as they began: smoothed, as few rows promise too much."""
    n = counts.rows + 2
    discordant = (counts.pass_to_fail + counts.fail_to_pass + 1) / n
    difference = (counts.fail_to_pass - counts.pass_to_fail) / n
    if difference == 0:
        return ceil(rows_for_equivalence(discordant, margin))
    return ceil(rows_for_difference(discordant, difference, alpha=alpha / scorers))


def fewest_decisive_rows(scorers: int, *, alpha: float = ALPHA) -> int:
    """The fewest rows that can decide anything: all of them changed, and all the same way."""
    rows = 1
    while scorers * exact_p(0, rows) > alpha:
        rows += 1
    return rows


def compare_paired(counts: Mapping[str, PairCounts], *, margin: float, alpha: float = ALPHA) -> dict[str, PairedResult]:
    """Compare every scorer, with one correction over those that have any rows.

    Equivalence comes first: a 90 % interval inside the margin proves the difference too small to matter, whatever
    its p-value. Then Holm's adjusted exact p-value decides.

    Args:
        counts: the pairs of each scorer.
        margin: the largest difference of rates that does not matter, above 0.
        alpha: chance of calling any unchanged scorer changed.
    """
    tested = [name for name, pairs in counts.items() if pairs.rows > 0]
    p_exact = [exact_p(counts[name].pass_to_fail, counts[name].fail_to_pass) for name in tested]
    adjusted = dict(zip(tested, holm(p_exact), strict=True))
    return {
        name: _result(pairs, adjusted.get(name), scorers=len(tested), margin=margin, alpha=alpha)
        for name, pairs in counts.items()
    }


def _result(pairs: PairCounts, p_adjusted: float | None, *, scorers: int, margin: float, alpha: float) -> PairedResult:
    if p_adjusted is None:
        return PairedResult(
            counts=pairs, baseline_rate=None, candidate_rate=None, difference=None, ci_low=None, ci_high=None,
            p_mid=None, p_exact=None, p_adjusted=None, verdict="inconclusive", rows_needed=None,
        )  # fmt: skip
    b, c, n = pairs.pass_to_fail, pairs.fail_to_pass, pairs.rows
    low, high = tango_interval(b, c, n)
    verdict = _verdict(pairs, p_adjusted, margin=margin, alpha=alpha)
    return PairedResult(
        counts=pairs,
        baseline_rate=(pairs.both_pass + b) / n,
        candidate_rate=(pairs.both_pass + c) / n,
        difference=(c - b) / n,
        ci_low=low,
        ci_high=high,
        p_mid=mid_p(b, c),
        p_exact=exact_p(b, c),
        p_adjusted=p_adjusted,
        verdict=verdict,
        rows_needed=rows_needed(pairs, scorers=scorers, margin=margin, alpha=alpha)
        if verdict == "inconclusive"
        else None,
    )


def _verdict(pairs: PairCounts, p_adjusted: float, *, margin: float, alpha: float) -> PairedVerdict:
    b, c = pairs.pass_to_fail, pairs.fail_to_pass
    low, high = tango_interval(b, c, pairs.rows, confidence=0.90)
    if -margin < low and high < margin:
        return "equivalent"
    if p_adjusted > alpha:
        return "inconclusive"
    return "improved" if c > b else "regressed"
