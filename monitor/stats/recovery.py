"""After an alarm: has the rate come back? A test upward, so that an alert does not flap.

First the rate is measured afresh. Then the null is that it still is at most `resolved_at`, half the way back to the
reference, and five gamblers bet that it is higher, as in `sequential`. A wrong recovery comes at most once in 1000
bets on average while that null holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, floor, fsum, log1p
from typing import Any

from monitor.stats.sequential import UNIT, clipped

MEASURED = 100
ENOUGH = 1000.0

# By reference: of the half way back, the part that is staked. Picked by simulation at 0.95 and at 0.80.
_HIGH = (0.02, 0.05, 0.1, 0.2, 0.4)
_LOW = (0.05, 0.1, 0.2, 0.4, 0.6)
_HIGH_FROM = 0.9
_LARGEST = 1e300
_LARGEST_EXPONENT = 690.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovery:
    """The state of the test upward.

    `seen`, `weight` and `weighted` (the sum of w * y) measure the rate. `resolved_at` is None while they do, then the
    rate that has to be beaten; `sums` are the five stakes.
    """

    reference: float
    tolerance: float
    seen: int
    weight: float
    weighted: float
    resolved_at: float | None
    sums: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain lists and numbers."""
        return {
            "reference": self.reference,
            "tolerance": self.tolerance,
            "seen": self.seen,
            "weight": self.weight,
            "weighted": self.weighted,
            "resolved_at": self.resolved_at,
            "sums": list(self.sums),
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> "Recovery":
        """What `as_json` gave, bit for bit."""
        resolved_at = value["resolved_at"]
        return cls(
            reference=float(value["reference"]),
            tolerance=float(value["tolerance"]),
            seen=value["seen"],
            weight=float(value["weight"]),
            weighted=float(value["weighted"]),
            resolved_at=None if resolved_at is None else float(resolved_at),
            sums=tuple(float(each) for each in value["sums"]),
        )


def begin(reference: float, tolerance: float) -> Recovery:
    """The state at the alarm.

    Args:
        reference: what the series was tested against, in 0..1.
        tolerance: the smallest drop that is worth an alert, 0 or more.
    """
    stakes = (0.0,) * len(_HIGH)
    return Recovery(
        reference=reference, tolerance=tolerance, seen=0, weight=0.0, weighted=0.0, resolved_at=None, sums=stakes
    )


def advance(recovery: Recovery, bets: Sequence[tuple[float, float]]) -> Recovery:
    """The state after one closed block; the order of its bets does not show in it.

    Whole blocks are measured until 100 bets have been seen. After that each block puts in one unit for each of its
    bets, before its factors are multiplied in: Q <- (Q + bets) * product. Given that the rate is no higher than
    `resolved_at`, the product over a block has a mean of at most 1 however many bets it has, so the mean of Q grows
    by no more than what was put in, as if every bet had been taken alone: the bound is the same. It asks of the
    number of bets what it asks of any deposit, that it does not depend on their scores.

    Args:
        recovery: the state before it.
        bets: (w, y) of each bet, the weight in 0..1 and the score in 0..1.
    """
    if recovery.resolved_at is None:
        return _measured(recovery, bets)
    fractions = [part / recovery.resolved_at for part in _parts(recovery.reference)]
    growths = [
        exp(min(_moved(fraction, recovery.resolved_at, bets) / UNIT, _LARGEST_EXPONENT)) for fraction in fractions
    ]
    sums = (min((stake + len(bets)) * growth, _LARGEST) for stake, growth in zip(recovery.sums, growths, strict=True))
    return replace(recovery, sums=tuple(sums))


def recovered(recovery: Recovery) -> bool:
    """Whether the rate has come back."""
    return sum(recovery.sums) >= ENOUGH * len(recovery.sums)


def _measured(recovery: Recovery, bets: Sequence[tuple[float, float]]) -> Recovery:
    seen = recovery.seen + len(bets)
    weight = recovery.weight + fsum(w for w, _ in bets)
    weighted = recovery.weighted + fsum(w * y for w, y in bets)
    resolved_at = None
    if seen >= MEASURED and weight > 0:
        half_way = (recovery.reference + weighted / weight) / 2
        resolved_at = clipped(min(half_way, recovery.reference - recovery.tolerance / 2))
    return replace(recovery, seen=seen, weight=weight, weighted=weighted, resolved_at=resolved_at)


def _parts(reference: float) -> tuple[float, ...]:
    return _HIGH if reference >= _HIGH_FROM else _LOW


def _moved(fraction: float, resolved_at: float, bets: Iterable[tuple[float, float]]) -> int:
    return sum(floor(UNIT * log1p(fraction * w * (y - resolved_at))) for w, y in bets)
