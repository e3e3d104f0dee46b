"""Interval and p-value of a mean difference of paired scores: what is used, beside what is not, in one run.

Coverage of 95 % intervals (mean width in brackets) without a difference and with one, and how often p is at most .05.
"""

import warnings
from collections.abc import Callable

import numpy as np
from paired_scores import KINDS, Differences, true_mean
from scipy import stats

from monitor.stats.paired_scores import score_interval, sign_flip_p

RUNS, RESAMPLES, SHIFT = 400, 400, 0.1
Interval = Callable[[Differences], tuple[float, float]]


def _t(d: Differences) -> tuple[float, float]:
    half = float(stats.t.isf(0.025, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d)))
    return d.mean() - half, d.mean() + half


def _percentile(d: Differences) -> tuple[float, float]:
    means = d[np.random.default_rng(1).integers(0, len(d), (RESAMPLES, len(d)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _bca(d: Differences) -> tuple[float, float]:
    if d.min() == d.max():
        return float(d.mean()), float(d.mean())
    random = np.random.default_rng(1)
    found = stats.bootstrap((d,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=random).confidence_interval
    return float(found.low), float(found.high)


INTERVALS: dict[str, Interval] = {
    "used": lambda d: score_interval(list(d)),
    "t": _t,
    "bootstrap": _percentile,
    "BCa": _bca,
}


def main() -> None:
    """Print a line for each number of rows, kind of scores and size of the difference."""
    warnings.simplefilter("ignore")
    print("rows kind           mean    ", *(f"{name:>13}" for name in INTERVALS), "   p used   p of t")
    for rows in (7, 15, 30, 100):
        for kind, draw in KINDS.items():
            for shift in (0.0, SHIFT):
                random, mean = np.random.default_rng(rows), true_mean(draw, shift)
                sets = [draw(random, rows, shift) for _ in range(RUNS)]
                cells = []
                for interval in INTERVALS.values():
                    bounds = np.array([interval(each) for each in sets])
                    held = np.mean((bounds[:, 0] <= mean) & (mean <= bounds[:, 1]))
                    cells.append(f"{held:.3f} ({np.mean(bounds[:, 1] - bounds[:, 0]):.3f})")
                used = np.mean([sign_flip_p(list(each))[0] <= 0.05 for each in sets])
                of_t = np.mean([stats.ttest_1samp(each, 0).pvalue <= 0.05 for each in sets])
                print(f"{rows:4} {kind:14} {mean:+.4f} ", *cells, f"   {used:.3f}    {of_t:.3f}", flush=True)


if __name__ == "__main__":
    main()
