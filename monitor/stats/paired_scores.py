"""Scores in 0..1 of two versions on the same rows: what a test and an interval of their mean difference need.

A graded scorer gives such scores, and so does a pass-or-fail scorer whose repeats on a row disagree. With scores that
are 0 or 1 alone the p-values here are McNemar's. `tests/benchmarks/bench_paired_scores.py` simulates the choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

# Differences are counted in units: the coarsest of these that fits all of them, else the work allows so many.
_EXACT_UNITS = 60
_FINEST_UNITS = 200
_COARSEST_UNITS = 20
_STEPS = 100_000_000
# With so many changed rows the normal distribution is as good.
_MOST_ROWS = 2_000
_SAME = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Sums over the differences of n rows, smoothed by what one more row would bring.

    Attributes:
        rows: n.
        total: their sum.
        squares: the sum of their squares.
        largest: the largest absolute difference; 1, the largest there can be, where no row changed.
    """

    rows: int
    total: float
    squares: float
    largest: float

    @property
    def smoothed_square(self) -> float:
        """Mean square with one more row of the largest difference, over two more rows."""
        return (self.squares + self.largest**2) / (self.rows + 2)

    @property
    def smoothed_mean(self) -> float:
        """Mean over two more rows that did not change."""
        return self.total / (self.rows + 2)


def moments(differences: Sequence[float]) -> Moments:
    """What the differences of the scores, each in -1..1, sum up to."""
    values = np.asarray(differences, dtype=float)
    return Moments(
        rows=len(values),
        total=float(values.sum()),
        squares=float((values**2).sum()),
        largest=float(np.abs(values).max(initial=0.0)) or 1.0,
    )


def score_interval(differences: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean difference: Student's t with half a row more up and half a row more down.

    The row added is of the largest difference seen, half in each direction. Without it a few equal differences would
    have no variance and an interval without width. Resampling (the bootstrap) misses 10 to 17 % instead of 5 % at 7 to
    15 rows.

    Returns:
        The bounds of the mean of the differences, each in -1..1.

    Raises:
        ValueError: no differences.
    """
    if not len(differences):
        raise ValueError("no rows have no interval")
    found = moments(differences)
    rows = found.rows + 1
    mean = found.total / rows
    variance = (found.squares + found.largest**2) / rows - mean * mean
    half = float(student.isf((1 - confidence) / 2, rows - 1)) * sqrt(max(0.0, variance) / (rows - 1))
    # Never to one side of the plain estimate, from which the added row pulls away.
    plain = found.total / found.rows
    return max(-1.0, min(mean - half, plain)), min(1.0, max(mean + half, plain))


def sign_flip_p(differences: Sequence[float]) -> tuple[float, float]:
    """Two-sided p-values of the mean difference over all ways to exchange the versions row by row.

    If the versions are alike, each row's difference might as well have the other sign. Of all 2^n choices of signs the
    p-value is the share whose sum is at least as large; mid-p counts those that are as large by half.

    Returns:
        mid-p, which decides, and the exact p. Both are 1 by convention where no row changed.
    """
    values = np.asarray([each for each in differences if abs(each) > _SAME], dtype=float)
    if not len(values):
        return 1.0, 1.0
    if len(values) > _MOST_ROWS:
        p_value = 2 * float(norm.sf(abs(values.sum()) / sqrt(float((values**2).sum()))))
        return p_value, p_value
    whole = _in_units(values)
    chances = _chances_of_sums(np.abs(whole))
    sums = np.abs(np.arange(len(chances)) - len(chances) // 2)
    seen = abs(int(whole.sum()))
    beyond, at = float(chances[sums > seen].sum()), float(chances[sums == seen].sum())
    return min(1.0, beyond + at / 2), min(1.0, beyond + at)


def _in_units(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The differences as whole multiples of a part of the largest; rounding is symmetric, so the test stays exact."""
    shares = values / np.abs(values).max()
    for units in range(1, _EXACT_UNITS + 1):
        if np.abs(shares * units - np.rint(shares * units)).max() < _SAME * units:
            break
    else:
        units = max(_COARSEST_UNITS, min(_FINEST_UNITS, _STEPS // len(values) ** 2))
    whole: NDArray[np.int64] = np.rint(shares * units).astype(np.int64)
    return whole


def _chances_of_sums(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The chance of each sum of the sizes with random signs, from minus their sum to their sum."""
    most = int(sizes.sum())
    chances = np.zeros(2 * most + 1)
    chances[most] = 1.0
    reached = 0
    for size in sorted(int(each) for each in sizes if each):
        low, high = most - reached, most + reached + 1
        before = chances[low:high] / 2
        chances[low:high] = 0.0
        chances[low - size : high - size] += before
        chances[low + size : high + size] += before
        reached += size
    return chances
