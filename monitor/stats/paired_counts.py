"""Rows that pass or fail under two versions: McNemar's test and Tango's interval, from four counts.

A row on which the baseline passed and the candidate failed counts in `pass_to_fail` (b), the other way round in
`fail_to_pass` (c). Everything follows from b, c and the number of rows n; the difference is (c - b) / n.
"""

from dataclasses import dataclass
from math import sqrt

from scipy.optimize import brentq
from scipy.stats import binom, norm


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
