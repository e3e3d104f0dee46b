"""The reference of a series, learnt from its first verdicts: a rate that the true one is very likely not below.

A plain mean would raise false alarms 1.2 to 8 times too often, because it is too high half of the time and the test
is held against it for ever. The lower bound is too high once in twenty series.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy.stats import beta

from monitor.stats.sums import exact

WANTED = 1000
"""Verdicts that a learnt reference is made of."""

LEAST = 300
"""Below this number no drop of a useful size could be told from what is not known of the reference."""

MISS = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Learnt:
    """Running sums over bets of weight w in (0, 1] and score y in 0..1; they add in any order.

    `n` bets, of `verdicts` verdicts in all: as many, where each verdict is a bet of its own.
    """

    n: int = 0
    verdicts: int = 0
    w: float = 0.0
    wy: float = 0.0
    w2: float = 0.0
    w2y: float = 0.0
    w2y2: float = 0.0

    def seen(self, weight: float, y: float, verdicts: int = 1) -> "Learnt":
        """With one bet more, the mean of so many verdicts."""
        square = weight * weight
        one = Learnt(
            n=1, verdicts=verdicts, w=exact(weight), wy=exact(weight * y),
            w2=exact(square), w2y=exact(square * y), w2y2=exact(square * y * y),
        )  # fmt: skip
        return self.added(one)

    def added(self, other: "Learnt") -> "Learnt":
        """Both together."""
        return Learnt(
            n=self.n + other.n,
            verdicts=self.verdicts + other.verdicts,
            w=self.w + other.w,
            wy=self.wy + other.wy,
            w2=self.w2 + other.w2,
            w2y=self.w2y + other.w2y,
            w2y2=self.w2y2 + other.w2y2,
        )

    @property
    def mean(self) -> float | None:
        """The weighted mean in 0..1, None without any weight."""
        return self.wy / self.w if self.w > 0 else None

    def as_json(self) -> dict[str, Any]:
        """As plain numbers."""
        sums = {"w": self.w, "wy": self.wy, "w2": self.w2, "w2y": self.w2y, "w2y2": self.w2y2}
        return {"n": self.n, "verdicts": self.verdicts, **sums}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "Learnt":
        """What `as_json` gave, bit for bit."""
        sums = {name: float(value[name]) for name in ("w", "wy", "w2", "w2y", "w2y2")}
        # Earlier releases learnt verdict by verdict, and wrote their number once.
        return cls(n=value["n"], verdicts=value.get("verdicts", value["n"]), **sums)


def lower(learnt: Learnt, *, tolerance: float) -> float:
    """The reference: the 5 % lower bound of the rate (Korn and Graubard 1998), less a tolerance, not below 0.

    With equal weights and 0/1 scores it is the one-sided bound of Clopper and Pearson. Where a bet is more than one
    verdict, the variance is that between bets: what verdicts of a bet have in common tells as much as one of them.

    Args:
        learnt: the bets, at least one with a weight above 0.
        tolerance: the drop that nobody wants to hear of, 0 or more.

    Raises:
        ValueError: there is no weight.
    """
    mean = learnt.mean
    if mean is None:
        raise ValueError("no reference can be learnt from no verdicts")
    variance = (learnt.w2y2 - 2 * mean * learnt.w2y + mean * mean * learnt.w2) / learnt.w**2
    spread = mean * (1 - mean)
    # Where all scores are equal the variance is 0 but for rounding, and says nothing.
    n = min(float(learnt.verdicts), spread / variance) if variance > 0 and spread > 0 else float(learnt.n)
    bound = float(beta.ppf(MISS, mean * n, n - mean * n + 1)) if mean > 0 else 0.0
    return max(0.0, bound - tolerance)
