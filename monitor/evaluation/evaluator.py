"""The evaluator as the daemon sees it: rows and versions in, runs and comparisons out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from monitor.evaluation.settings import VersionSettings
from scorers.settings import JudgeSettings, ScorerSettings

Stage = Literal["starting", "answered", "scored", "finished"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRow:
    """One row of the dataset. `record_id` is what pairs it over the versions; None pairs by the inputs."""

    inputs: dict[str, Any]
    expectations: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    record_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRequest:
    """One evaluation: the rows and the scorers are the same for all versions.

    `scorers` and `judge` go to the evaluator's process, which builds the scorers there; a candidate sees neither.
    `digest` is the content digest of the dataset. Each answer is judged `repeats` times. With `early_stop` the rows are
    run in batches of `batch_rows`, until each candidate's comparison is settled.
    """

    id: str
    dataset: str
    digest: str
    rows: tuple[EvaluationRow, ...]
    baseline: str
    versions: Mapping[str, VersionSettings]
    scorers: tuple[ScorerSettings, ...]
    judge: JudgeSettings
    margin: float = 0.05
    repeats: int = 1
    early_stop: bool = False
    batch_rows: int = 25

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("an evaluation needs at least one row")
        if self.baseline not in self.versions:
            raise ValueError(f"the baseline {self.baseline!r} is not among the versions {sorted(self.versions)}")

    @property
    def stops_early(self) -> bool:
        """Whether rows may be left out: only where there is a candidate of which something could be proved."""
        return self.early_stop and len(self.versions) > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class VersionRun:
    """One version's MLflow run. Rates are in 0..1 over the version's own rows; None where nothing was scored."""

    version: str
    run_id: str
    overall: float | None
    metrics: Mapping[str, float | None]
    failed_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelUsage:
    """What judging asked of one model: requests that were sent, and tokens.

    `unmetered` of the requests may be billed for tokens that are not known.
    """

    calls: int = 0
    unmetered: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationResult:
    """What came of an evaluation. `comparisons` holds, by candidate, the object that `compare --json` prints.

    `unavailable` names the candidates that could not be run at all, with the cause. `usage` is by model.
    """

    id: str
    runs: Mapping[str, VersionRun]
    comparisons: Mapping[str, Mapping[str, Any]]
    unavailable: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, ModelUsage] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationProgress:
    """`done` of `total` rows of a version are at this stage; `starting` and `finished` come once, without a version."""

    stage: Stage
    version: str | None = None
    done: int = 0
    total: int = 0


class Progress(Protocol):
    """Called on the evaluating thread and on those of HTTP candidates, one call at a time; it must not block."""

    def __call__(self, event: EvaluationProgress, /) -> None:
        """Take note."""


def no_progress(_event: EvaluationProgress, /) -> None:
    """Nobody is watching."""


class Evaluator(Protocol):
    """Runs every version over the same rows with the same scorers."""

    def evaluate(self, request: EvaluationRequest, progress: Progress = no_progress) -> EvaluationResult:
        """Blocks until all is compared.

        Raises:
            CandidateUnavailable: the baseline cannot be run, so that there is nothing to compare with.
            EvaluatorFailed: the evaluator's process failed.
            EvaluationCancelled: `cancel` was called.
        """
        ...

    def cancel(self) -> None:
        """Stop the evaluation that runs, from any thread, and end its processes."""
        ...
