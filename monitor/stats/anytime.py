"""The paired test that may be looked at after every row: a bet on the next row, against 'nothing has changed'.

With d the difference of a row's scores in -1..1, a gambler who stakes the share l on 'the candidate is better' holds
prod(1 + l d) after the rows. Where the mean difference is 0 he wins nothing on average, whatever the distribution, so
that the chance of ever holding 1/alpha is at most alpha (Ville). E is the mean of his fortune over stakes l that follow
the arcsine law. With b rows from pass to fail and c from fail to pass it is 2^(b+c) B(b+1/2, c+1/2) / B(1/2, 1/2).
"""

from collections.abc import Callable, Sequence
from math import ceil, exp, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betaln
from scipy.stats import norm

# More rows than anybody has.
_ENOUGH = 10_000_000
# A mean over so many stakes is as good a bet as the integral, which it equals up to twice as many rows.
_MOST_STAKES = 512
# Beyond it the logarithm of the evidence is told no more.
_MOST = 600.0


def evidence(differences: Sequence[float]) -> float:
    """E after all of the rows; 1 before the first. Their order does not matter."""
    return exp(min(_MOST, _log_mean(_log_fortunes(np.asarray(differences, dtype=float)))))


def largest_evidence(differences: Sequence[float]) -> tuple[float, float]:
    """The largest E that was held on the way, and the sum of the differences at that row.

    What was proved once stays proved, so that the largest decides and not the last.

    Args:
        differences: in the order in which the rows were run.
    """
    values = np.asarray(differences, dtype=float)
    if not len(values):
        return 1.0, 0.0
    stakes = _stakes(len(values))
    fortunes = np.cumsum(np.log1p(np.outer(values, stakes)), axis=0)
    held = np.array([_log_mean(each) for each in fortunes])
    at = int(held.argmax())
    if held[at] <= 0:
        return 1.0, 0.0
    return exp(min(_MOST, float(held[at]))), float(values[: at + 1].sum())


def pass_fail_evidence(pass_to_fail: int, fail_to_pass: int) -> float:
    """E in closed form, for rows that pass or fail."""
    b, c = pass_to_fail, fail_to_pass
    return exp(min(_MOST, (b + c) * log(2) + float(betaln(b + 0.5, c + 0.5)) - log(pi)))


def anytime_interval(differences: Sequence[float], *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the mean difference that holds whenever one stops: the means m against which no bet has won.

    The bet against m stakes on d - m, whose largest loss is 1 + |m|.

    Returns:
        The bounds, each in -1..1.

    Raises:
        ValueError: no differences.
    """
    if not len(differences):
        raise ValueError("no rows have no interval")
    values, counts = np.unique(np.asarray(differences, dtype=float), return_counts=True)
    needed = -log(1 - confidence)
    stakes = _stakes(len(differences))

    def above(mean: float) -> float:
        shares = np.outer((values - mean) / (1 + abs(mean)), stakes)
        return _log_mean((counts[:, None] * np.log1p(shares)).sum(axis=0)) - needed

    middle = float(np.average(values, weights=counts))
    return _crossing(above, middle, -1.0), _crossing(above, middle, 1.0)


def _crossing(above: Callable[[float], float], middle: float, end: float) -> float:
    if above(middle) >= 0:
        return middle
    if above(end) <= 0:
        return end
    return float(brentq(above, middle, end, xtol=1e-9))


def rows_for_evidence(square: float, mean: float, needed: float, *, power: float) -> int:
    """Rows within which E comes to what is needed, with the given chance, if the differences stay as they are.

    The logarithm of the best stake's fortune is taken for a Brownian motion, and E for that fortune less the price of
    not knowing the stake (Laplace's approximation of the mean over the stakes, in their middle or at their end).

    Args:
        square: mean square of the differences.
        mean: their mean; not 0.
        needed: the E that decides.
        power: chance to be there by then.
    """
    stake = min(1.0, abs(mean) / square)
    drift, spread = stake * abs(mean) - stake * stake * square / 2, stake * sqrt(square)

    def short_of(rows: float) -> float:
        level = log(needed) + log(max(1.0, pi * rows * square / 2, 2 * pi * rows * (abs(mean) - square))) / 2
        now, far = drift * rows, spread * sqrt(rows)
        # The chance that the motion has reached the level on its way.
        turned = 2 * drift * level / spread**2 + float(norm.logcdf(-(now + level) / far))
        return float(norm.cdf((now - level) / far)) + exp(turned) - power

    return _ENOUGH if short_of(_ENOUGH) < 0 else ceil(brentq(short_of, 1e-6, _ENOUGH))


def fewest_anytime_rows(needed: float) -> int:
    """The fewest rows that can reach the evidence needed: all of them changed, and all the same way."""
    rows = 1
    while pass_fail_evidence(0, rows) < needed:
        rows += 1
    return rows


def _stakes(rows: int) -> NDArray[np.float64]:
    """Nodes of Gauss and Chebyshev: their plain mean is the mean over the arcsine law."""
    nodes = min(rows // 2 + 1, _MOST_STAKES)
    return np.cos((2 * np.arange(1, nodes + 1) - 1) * pi / (2 * nodes))


def _log_fortunes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log1p(np.outer(values, _stakes(len(values)))).sum(axis=0))


def _log_mean(logs: NDArray[np.float64]) -> float:
    top = float(logs.max())
    return top + float(np.log(np.exp(logs - top).mean()))
