"""An evaluation run as it is compared: rows with their answers, and what each scorer said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Label = Literal["pass", "fail", "error"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowVerdict:
    """What one scorer said of one row.

    Attributes:
        label: what the row counts as; of several repeats, what more than half of those without an error say.
        rationale: the scorer's words; of an error, its reason.
        value: the score in 0..1, of several repeats their mean; left out, it is 1 for a pass and 0 for a fail.
        repeats: the label of each repeat, where the row was judged several times.
    """

    label: Label
    rationale: str | None = None
    value: float | None = None
    repeats: tuple[Label, ...] = ()

    @property
    def score(self) -> float | None:
        """The value in 0..1; None for an error."""
        if self.label == "error":
            return None
        return float(self.label == "pass") if self.value is None else self.value

    @property
    def judged(self) -> tuple[Label, ...]:
        """The repeats that have no error."""
        return tuple(label for label in self.repeats if label != "error")


def of_repeats(verdicts: Sequence[RowVerdict]) -> RowVerdict:
    """One verdict of a row that was judged several times: the mean of the scores, and what the majority says.

    Repeats with an error are left out of the mean; a row of nothing but errors is one. A tie is a fail.
    """
    judged = [verdict for verdict in verdicts if verdict.score is not None]
    labels = tuple(verdict.label for verdict in verdicts)
    if not judged:
        return RowVerdict(label="error", rationale=verdicts[0].rationale, repeats=labels)
    passes = sum(verdict.label == "pass" for verdict in judged)
    label: Label = "pass" if 2 * passes > len(judged) else "fail"
    words = next((verdict.rationale for verdict in judged if verdict.label == label), judged[0].rationale)
    if 0 < passes < len(judged):
        words = f"{passes} of {len(judged)} repeats pass. {words or ''}".rstrip()
    mean = sum(verdict.score or 0.0 for verdict in judged) / len(judged)
    return RowVerdict(label=label, rationale=words, value=mean, repeats=labels)


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
class RunPlan:
    """How a run was to be made.

    Attributes:
        rows: how many rows were to be run.
        repeats: how many times each answer is judged.
        early_stop: whether rows could be left out as soon as something was proved.
        judges: how many of the scorers ask a model.
    """

    rows: int
    repeats: int = 1
    early_stop: bool = False
    judges: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedRun:
    """One version's run.

    `scorer_versions` holds those that are known, `graded` the scorers whose numbers are scores, `plan` is that of a run
    which Tracewatch made.
    """

    version: str
    run_id: str
    rows: tuple[EvaluatedRow, ...]
    scorers: tuple[str, ...]
    scorer_versions: Mapping[str, str] = field(default_factory=dict)
    graded: frozenset[str] = frozenset()
    dataset: str | None = None
    digest: str | None = None
    plan: RunPlan | None = None

    def rate(self, scorer: str) -> float | None:
        """Pass rate, or mean score, over the run's own rows, errors left out; None without any."""
        return _mean([verdict.score for row in self.rows if (verdict := row.verdict(scorer))])

    def answered_rate(self, scorer: str) -> float | None:
        """The same without the rows on which the application failed, as MLflow counts."""
        answered = [row for row in self.rows if row.failure is None]
        return _mean([verdict.score for row in answered if (verdict := row.verdict(scorer))])


def _mean(scores: Sequence[float | None]) -> float | None:
    found = [score for score in scores if score is not None]
    return sum(found) / len(found) if found else None
