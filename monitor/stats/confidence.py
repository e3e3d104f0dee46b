"""The weighted rate over a window and an interval that holds at every moment of it, not only at a planned one.

The usual interval is right when it is looked at once. Looked at every minute it misses the truth sooner or later. These
intervals (confidence sequences) contain the true rate at all times together with probability 1 - alpha, given that
the rate does not change within the window. They are wider for it, 1.8 to 2 times.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log, log1p
from typing import Any

from scipy.optimize import brentq
from scipy.special import betaln

from monitor.stats.sums import exact

_STEPS = 12
_LAMBDAS = tuple(0.9 * 2.0**-k for k in range(_STEPS))
_PSIS = tuple(-log1p(-each) - each for each in _LAMBDAS)
_RAW = tuple(1 / ((k + 2) * log(k + 2) ** 2) for k in range(_STEPS))
_LOG_SHARES = tuple(log(each / sum(_RAW) / 2) for each in _RAW)
_GRID = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowSums:
    """What a window's verdicts add up to, over weights w in (0, 1] and scores y in 0..1; they add in any order.

    n verdicts, of which `passes` have y = 1; s1 = sum wy, s0 = sum w, q2 = sum w2 y2, q1 = sum w2 y, q0 = sum w2.
    `equal` says that all weights are the same.
    """

    n: int = 0
    passes: int = 0
    s1: float = 0.0
    s0: float = 0.0
    q2: float = 0.0
    q1: float = 0.0
    q0: float = 0.0
    equal: bool = True

    def seen(self, weight: float, y: float) -> "WindowSums":
        """With one verdict more."""
        square = weight * weight
        one = WindowSums(
            n=1, passes=int(exact(y) == 1), s1=exact(weight * y), s0=exact(weight),
            q2=exact(square * y * y), q1=exact(square * y), q0=exact(square),
        )  # fmt: skip
        return self.added(one)

    def added(self, other: "WindowSums") -> "WindowSums":
        """Both together."""
        return WindowSums(
            n=self.n + other.n,
            passes=self.passes + other.passes,
            s1=self.s1 + other.s1,
            s0=self.s0 + other.s0,
            q2=self.q2 + other.q2,
            q1=self.q1 + other.q1,
            q0=self.q0 + other.q0,
            equal=self._as_weighted_as(other),
        )

    def as_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {name: getattr(self, name) for name in _COUNTS + _SUMS} | {"equal": self.equal}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "WindowSums":
        """What `as_json` gave, bit for bit."""
        sums = {name: float(value[name]) for name in _SUMS}
        return cls(n=value["n"], passes=value["passes"], equal=value["equal"], **sums)

    def _as_weighted_as(self, other: "WindowSums") -> bool:
        if self.n == 0 or other.n == 0:
            return self.equal and other.equal
        return self.equal and other.equal and self.s0 / self.n == other.s0 / other.n


_COUNTS = ("n", "passes")
_SUMS = ("s1", "s0", "q2", "q1", "q0")


def hajek(sums: WindowSums) -> float | None:
    """The weighted mean in 0..1, None without any weight."""
    return sums.s1 / sums.s0 if sums.s0 > 0 else None


def interval(sums: WindowSums, alpha: float = 0.05) -> tuple[float, float]:
    """Bounds of the rate that hold at all times together with probability 1 - alpha; (0, 1) where nothing is known.

    For 0/1 scores of equal weight: a mixture of likelihood ratios over Jeffreys' prior. For anything else: a mixture
    of exponential supermartingales, valid for any scores in 0..1 and weights in (0, 1] (two-sided, after Howard,
    Ramdas, McAuliffe and Sekhon 2021), from the five sums alone.
    """
    mean = hajek(sums)
    if mean is None:
        return 0.0, 1.0
    # y * y = y for 0 and 1 alone.
    if sums.equal and sums.q2 == sums.q1:
        failures = sums.n - sums.passes
        outside = _beta_binomial(sums.passes, failures, alpha)
        mean = sums.passes / sums.n
        # At these ends the evidence is infinite, unless no such verdict was seen.
        low = 0.0 if sums.passes == 0 else _crossing(outside, 1e-300, mean)
        high = 1.0 if failures == 0 else _crossing(outside, 1 - 1e-16, mean)
        return low, high
    outside = _five_sums(sums, alpha)
    return _outermost(outside, 0.0, mean), _outermost(outside, 1.0, mean)


def _beta_binomial(passes: int, failures: int, alpha: float) -> Callable[[float], float]:
    constant = float(betaln(passes + 0.5, failures + 0.5) - betaln(0.5, 0.5)) + log(alpha)

    def outside(p: float) -> float:
        likelihood = (passes * log(p) if passes else 0.0) + (failures * log1p(-p) if failures else 0.0)
        return constant - likelihood

    return outside


def _five_sums(sums: WindowSums, alpha: float) -> Callable[[float], float]:
    def outside(m: float) -> float:
        gain = sums.s1 - m * sums.s0
        variance = sums.q2 - 2 * m * sums.q1 + m * m * sums.q0
        terms = [
            share + sign * step * gain - psi * variance
            for share, step, psi in zip(_LOG_SHARES, _LAMBDAS, _PSIS, strict=True)
            for sign in (1, -1)
        ]
        largest = max(terms)
        return largest + log(sum(exp(term - largest) for term in terms)) + log(alpha)

    return outside


def _outermost(outside: Callable[[float], float], end: float, mean: float) -> float:
    """The value furthest from the mean that is not excluded: what is left need not be one piece."""
    before = end
    for step in range(_GRID + 1):
        here = end + (mean - end) * step / _GRID
        if outside(here) < 0:
            return end if step == 0 else _crossing(outside, before, here)
        before = here
    return mean


def _crossing(outside: Callable[[float], float], excluded: float, included: float) -> float:
    if outside(excluded) <= 0:
        return excluded
    return float(brentq(outside, excluded, included, xtol=1e-12))
