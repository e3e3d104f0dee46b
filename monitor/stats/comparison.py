"""Two versions judged on the same rows: a difference, an interval, a p-value, a verdict, and how many rows it takes.

With a fixed number of rows mid-p decides, adjusted by Holm over the scorers. Where rows stop as soon as something is
proved only the anytime test may decide: p-values would be found small by looking often enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

from scipy.stats import norm

from monitor.stats.anytime import anytime_interval, largest_evidence, rows_for_evidence
from monitor.stats.paired_counts import PairCounts, exact_p, mid_p, tango_interval
from monitor.stats.paired_scores import moments, score_interval, sign_flip_p

PairedVerdict = Literal["improved", "regressed", "equivalent", "inconclusive"]

ALPHA = 0.05
POWER = 0.8
# A mean of differences below it is 0 with rounding errors.
_NONE = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedScores:
    """One scorer's scores of n paired rows, each in 0..1, in the order in which the rows were run.

    Attributes:
        counts: the same rows as passes and fails.
        baseline: a score for each row.
        candidate: likewise.
        graded: whether the scores say more than the counts; without it they are 0 where a row fails and 1 where it
            passes.
    """

    counts: PairCounts
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    graded: bool

    def __post_init__(self) -> None:
        if not len(self.baseline) == len(self.candidate) == self.counts.rows:
            raise ValueError(f"{len(self.baseline)} and {len(self.candidate)} scores of {self.counts.rows} rows")

    @property
    def differences(self) -> list[float]:
        """Candidate minus baseline, row by row, each in -1..1."""
        return [after - before for before, after in zip(self.baseline, self.candidate, strict=True)]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedResult:
    """One scorer's comparison; what n = 0 leaves undefined is None.

    Rates are pass rates, or mean scores where the scorer is `graded`; they and their difference are in 0..1.
    `evidence` and the `evidence_needed` for a verdict are there where the anytime test decides.
    """

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
    graded: bool = False
    evidence: float | None = None
    evidence_needed: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Test:
    """What either kind of pairs comes to. `square` and `mean` of the differences are smoothed."""

    counts: PairCounts
    graded: bool
    baseline_rate: float
    candidate_rate: float
    p_mid: float
    p_exact: float
    ci95: tuple[float, float]
    ci90: tuple[float, float]
    square: float
    mean: float


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjustment, in the order given: reject where the adjusted value is at most alpha."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def rows_for_difference(square: float, difference: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """Rows that the paired test needs (Connor 1987), not rounded.

    Args:
        square: mean square of the rows' differences; of passes and fails it is the share of rows that change.
        difference: the difference of the rates; not 0.
        alpha: two-sided level of this one test.
        power: chance to find the difference.
    """
    z_alpha, z_power = float(norm.isf(alpha / 2)), float(norm.ppf(power))
    root = z_alpha * sqrt(square) + z_power * sqrt(max(0.0, square - difference * difference))
    return (root / difference) ** 2


def rows_for_equivalence(square: float, margin: float) -> float:
    """Rows that show with 90 % power a true difference of 0 to be smaller than the margin, not rounded."""
    return square * ((float(norm.isf(0.05)) + float(norm.isf(0.10))) / margin) ** 2


def rows_needed(pairs: PairCounts | PairedScores, *, scorers: int, margin: float, alpha: float = ALPHA) -> int:
    """How many rows would decide, if the changes went on as they began: smoothed, as few rows promise too much."""
    square, mean = _smoothed(pairs)
    if abs(mean) < _NONE:
        return ceil(rows_for_equivalence(square, margin))
    return ceil(rows_for_difference(square, mean, alpha=alpha / scorers))


def fewest_decisive_rows(scorers: int, *, alpha: float = ALPHA) -> int:
    """The fewest rows that can decide anything: all of them changed, and all the same way."""
    rows = 1
    while scorers * mid_p(0, rows) > alpha:
        rows += 1
    return rows


def compare_paired(
    pairs: Mapping[str, PairCounts | PairedScores], *, margin: float, alpha: float = ALPHA
) -> dict[str, PairedResult]:
    """Compare every scorer on a number of rows that was fixed, with one correction over those that have any rows.

    Equivalence comes first: a 90 % interval inside the margin proves the difference too small to matter, whatever
    its p-value. Then Holm's adjusted mid-p decides.

    Args:
        pairs: the pairs of each scorer.
        margin: the largest difference of rates that does not matter, above 0.
        alpha: chance of calling any unchanged scorer changed.
    """
    tests = {name: _test(each) for name, each in pairs.items() if _counts(each).rows > 0}
    adjusted = dict(zip(tests, holm([test.p_mid for test in tests.values()]), strict=True))
    results = {}
    for name, each in pairs.items():
        if name not in tests:
            results[name] = _nothing(each)
            continue
        test = tests[name]
        verdict = _verdict(test, margin, proved=adjusted[name] <= alpha)
        needed = None
        if verdict == "inconclusive":
            needed = rows_needed(each, scorers=len(tests), margin=margin, alpha=alpha)
        results[name] = _result(test, adjusted[name], verdict, rows_needed=needed, interval=test.ci95)
    return results


def compare_anytime(
    pairs: Mapping[str, PairedScores], *, complete: bool, margin: float, alpha: float = ALPHA
) -> dict[str, PairedResult]:
    """Compare every scorer on rows that could have been stopped after any of them.

    The largest evidence on the way decides, against the number of scorers over alpha. Only when all rows were run may a
    scorer be `equivalent`: that is one look, at a number of rows that was fixed.

    Args:
        pairs: the pairs of each scorer, in the order in which they were run.
        complete: whether all rows were run that were to be run.
        margin: the largest difference of rates that does not matter, above 0.
        alpha: chance of calling any unchanged scorer changed, however often one looks.
    """
    needed = max(1, len(pairs)) / alpha
    tests = {name: _test(each) for name, each in pairs.items() if each.counts.rows > 0}
    adjusted = dict(zip(tests, holm([test.p_mid for test in tests.values()]), strict=True))
    results = {}
    for name, each in pairs.items():
        if name not in tests:
            results[name] = _nothing(each)
            continue
        test = tests[name]
        held, total = largest_evidence(each.differences)
        proved = held >= needed
        verdict: PairedVerdict = "inconclusive"
        if complete and _inside(test.ci90, margin):
            verdict = "equivalent"
        elif proved:
            verdict = "improved" if total > 0 else "regressed"
        rows = None
        if verdict == "inconclusive":
            rows = _rows_for_evidence(test, needed, margin)
        results[name] = _result(
            test, adjusted[name], verdict, rows_needed=rows, interval=anytime_interval(each.differences),
            evidence=(held, needed),
        )  # fmt: skip
    return results


def _rows_for_evidence(test: _Test, needed: float, margin: float) -> int:
    if abs(test.mean) < _NONE:
        return ceil(rows_for_equivalence(test.square, margin))
    return rows_for_evidence(test.square, test.mean, needed, power=POWER)


def _counts(pairs: PairCounts | PairedScores) -> PairCounts:
    return pairs if isinstance(pairs, PairCounts) else pairs.counts


def _smoothed(pairs: PairCounts | PairedScores) -> tuple[float, float]:
    """Mean square and mean of the differences as they are planned with."""
    if isinstance(pairs, PairedScores) and pairs.graded:
        found = moments(pairs.differences)
        return found.smoothed_square, found.smoothed_mean
    counts = _counts(pairs)
    changed, n = counts.pass_to_fail + counts.fail_to_pass, counts.rows + 2
    return (changed + 1) / n, (counts.fail_to_pass - counts.pass_to_fail) / n


def _test(pairs: PairCounts | PairedScores) -> _Test:
    square, mean = _smoothed(pairs)
    counts = _counts(pairs)
    b, c, n = counts.pass_to_fail, counts.fail_to_pass, counts.rows
    if isinstance(pairs, PairedScores) and pairs.graded:
        differences = pairs.differences
        p_mid, p_exact = sign_flip_p(differences)
        return _Test(
            counts=counts, graded=True, baseline_rate=sum(pairs.baseline) / n, candidate_rate=sum(pairs.candidate) / n,
            p_mid=p_mid, p_exact=p_exact, ci95=score_interval(differences),
            ci90=score_interval(differences, confidence=0.90), square=square, mean=mean,
        )  # fmt: skip
    return _Test(
        counts=counts, graded=False,
        baseline_rate=(counts.both_pass + b) / n, candidate_rate=(counts.both_pass + c) / n,
        p_mid=mid_p(b, c), p_exact=exact_p(b, c), ci95=tango_interval(b, c, n),
        ci90=tango_interval(b, c, n, confidence=0.90), square=square, mean=mean,
    )  # fmt: skip


def _inside(interval: tuple[float, float], margin: float) -> bool:
    return -margin < interval[0] and interval[1] < margin


def _verdict(test: _Test, margin: float, *, proved: bool) -> PairedVerdict:
    if _inside(test.ci90, margin):
        return "equivalent"
    if not proved:
        return "inconclusive"
    return "improved" if test.candidate_rate > test.baseline_rate else "regressed"


def _result(
    test: _Test,
    p_adjusted: float,
    verdict: PairedVerdict,
    *,
    rows_needed: int | None,
    interval: tuple[float, float],
    evidence: tuple[float, float] | None = None,
) -> PairedResult:
    held, needed = evidence or (None, None)
    return PairedResult(
        counts=test.counts,
        baseline_rate=test.baseline_rate,
        candidate_rate=test.candidate_rate,
        difference=_difference(test),
        ci_low=interval[0],
        ci_high=interval[1],
        p_mid=test.p_mid,
        p_exact=test.p_exact,
        p_adjusted=p_adjusted,
        verdict=verdict,
        rows_needed=rows_needed,
        graded=test.graded,
        evidence=held,
        evidence_needed=needed,
    )


def _difference(test: _Test) -> float:
    if test.graded:
        return test.candidate_rate - test.baseline_rate
    # From whole numbers: a difference of rates has rounding errors where it is 0.
    return (test.counts.fail_to_pass - test.counts.pass_to_fail) / test.counts.rows


def _nothing(pairs: PairCounts | PairedScores) -> PairedResult:
    return PairedResult(
        counts=_counts(pairs), baseline_rate=None, candidate_rate=None, difference=None, ci_low=None, ci_high=None,
        p_mid=None, p_exact=None, p_adjusted=None, verdict="inconclusive", rows_needed=None,
        graded=isinstance(pairs, PairedScores) and pairs.graded,
    )  # fmt: skip
