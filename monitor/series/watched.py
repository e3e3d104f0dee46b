"""What the configuration says of a scorer's series."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from monitor.stats.series import Policy, SeriesState

ALL: Final = "all"

Unit = Literal["verdict", "session", "block"]
Measure = Literal["pass", "value"]
Key = tuple[str, str]
"""Scorer and segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedScorer:
    """One scorer.

    Attributes:
        name: of the scorer.
        version: of its definition; verdicts of another one are no part of its series.
        policy: of its tests.
        unit: what is one bet.
        settles_ms: how long a bet waits for the rest of its verdicts, and its block to be closed.
        measure: what is bet on.
        smallest_probability: that the configuration allows, so that weights are at most 1.
        alerting: whether it has a share in the budget of false alarms.
        teacher: the app version whose verdicts teach the reference; None for all of them.
    """

    name: str
    version: str
    policy: Policy
    unit: Unit = "verdict"
    settles_ms: int = 0
    measure: Measure = "pass"
    smallest_probability: float = 1.0
    alerting: bool = True
    teacher: str | None = None

    @property
    def bet_on(self) -> str:
        """The measure, and what is one bet where a reference that is learnt depends on it."""
        is_plain = self.unit == "verdict" or self.policy.source == "target"
        return self.measure if is_plain else f"{self.measure} {self.unit}"


def references_of_segments(states: Mapping[Key, SeriesState], scorer: str) -> dict[str, float]:
    """Segment -> what its own series of the scorer is held against, where that is known."""
    return {
        segment: state.reference
        for (name, segment), state in states.items()
        if name == scorer and segment != ALL and state.reference is not None
    }
