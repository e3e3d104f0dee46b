"""What a fault did to a stretch of events: the line that each test prints, and what must be true of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultFigures:
    """Events that came, effects that are in MLflow, and what went wrong between the two.

    `effects` counts traces with an assessment of each scorer, `doubled` assessments beyond the first, `repeated` judge
    calls beyond one an event (None where the calls are not counted).
    """

    events: int
    effects: int
    lost: int
    doubled: int
    repeated: int | None
    recovered_s: float

    @classmethod
    def of(
        cls,
        trace_ids: Collection[str],
        assessments: Counter[tuple[str, str]],
        scorers: Collection[str],
        *,
        judge_calls: int | None,
        recovered_s: float,
    ) -> Self:
        """Hold the events' ids against the assessments found, by (source id, scorer)."""
        complete = sum(all((trace_id, scorer) in assessments for scorer in scorers) for trace_id in trace_ids)
        return cls(
            events=len(trace_ids),
            effects=complete,
            lost=len(trace_ids) - complete,
            doubled=sum(assessments.values()) - len(assessments),
            repeated=None if judge_calls is None else judge_calls - len(trace_ids),
            recovered_s=recovered_s,
        )

    def report(self, **special: Any) -> None:
        """Print the line.

        Raises:
            AssertionError: something was lost or doubled, or has an effect that the judge was not asked for.
        """
        repeated = "-" if self.repeated is None else self.repeated
        words = [
            f"events={self.events} effects={self.effects} lost={self.lost} doubled={self.doubled}",
            f"repeated={repeated} recovered_s={self.recovered_s:.1f}",
            *(f"{name}={value}" for name, value in special.items()),
        ]
        print(*words)
        assert (self.lost, self.doubled) == (0, 0), " ".join(words)
        assert self.repeated is None or self.repeated >= 0, " ".join(words)
