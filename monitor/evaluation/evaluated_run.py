"""An evaluation run as it is compared: rows with their answers, and what each scorer said of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Label = Literal["pass", "fail", "error"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowVerdict:
    """What one scorer said of one row; `rationale` also carries the reason of an error."""

    label: Label
    rationale: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedRow:
    """One answered row. `failure` says why the application gave no answer: such a row fails for every scorer."""

    trace_id: str
    inputs: Any
    outputs: Any
    record_id: str | None = None
    failure: str | None = None
    verdicts: Mapping[str, RowVerdict] = field(default_factory=dict)

    def verdict(self, scorer: str) -> RowVerdict | None:
        """What the scorer said; None if it never saw the row."""
        if self.failure is not None:
            return RowVerdict(label="fail", rationale=f"the application failed: {self.failure}")
        return self.verdicts.get(scorer)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedRun:
    """One version's run. `scorer_versions` holds those that are known."""

    version: str
    run_id: str
    rows: tuple[EvaluatedRow, ...]
    scorers: tuple[str, ...]
    scorer_versions: Mapping[str, str] = field(default_factory=dict)
    dataset: str | None = None
    digest: str | None = None

    def rate(self, scorer: str) -> float | None:
        """Share of the run's own rows that pass, errors left out; None without any."""
        found = [verdict.label for row in self.rows if (verdict := row.verdict(scorer))]
        judged = [label for label in found if label != "error"]
        return judged.count("pass") / len(judged) if judged else None
