"""Differences of scores in 0..1 of two versions on the same rows, as real scorers give them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Differences = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float], Differences]


def smooth(random: np.random.Generator, rows: int, shift: float) -> Differences:
    """A graded judge: both versions share the row's difficulty."""
    difficulty = random.normal(1, 1, rows)
    before, after = (1 / (1 + np.exp(-(difficulty + way + random.normal(0, 0.5, rows)))) for way in (0, 4 * shift))
    return after - before


def four_levels(random: np.random.Generator, rows: int, shift: float) -> Differences:
    """A judge with grades 0 to 3."""
    difficulty = random.normal(0.5, 1, rows)
    before, after = (
        np.clip(np.floor(difficulty + way + random.normal(0, 0.7, rows) + 2), 0, 3) / 3 for way in (0, 5 * shift)
    )
    return after - before


def sparse(random: np.random.Generator, rows: int, shift: float) -> Differences:
    """Nearly all rows equal, some of them very different."""
    chosen = random.random(rows)
    sign = np.where(chosen < 0.05 + shift, 1, np.where(chosen < 0.10 + shift, -1, 0))
    return sign * random.uniform(0.2, 1, rows)


def three_repeats(random: np.random.Generator, rows: int, shift: float) -> Differences:
    """Pass or fail judged three times by a judge that errs on one in ten."""
    chance = random.beta(2, 0.5, rows)
    before, after = (random.random(rows) < np.clip(chance + way, 0, 1) for way in (0, shift))
    return (random.binomial(3, np.where(after, 0.93, 0.1)) - random.binomial(3, np.where(before, 0.93, 0.1))) / 3


def ceiling(random: np.random.Generator, rows: int, shift: float) -> Differences:
    """Most scores are 1."""
    before, after = (
        np.where(random.random(rows) < 0.85 + way, 1.0, random.integers(0, 10, rows) / 10) for way in (0, shift)
    )
    return after - before


KINDS: dict[str, Draw] = {
    "smooth": smooth,
    "four levels": four_levels,
    "sparse": sparse,
    "three repeats": three_repeats,
    "ceiling": ceiling,
}


def true_mean(draw: Draw, shift: float) -> float:
    """The mean difference behind the draws; 0 without a shift, as the versions are alike then."""
    return 0.0 if shift == 0 else float(draw(np.random.default_rng(9), 2_000_000, shift).mean())
