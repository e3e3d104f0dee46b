"""Has MLflow judge answers, several times where that is wanted, and marks which feedback belongs to which time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.entities import AssessmentSource, AssessmentSourceType, Expectation, Feedback, Trace
from mlflow.genai.evaluation import harness
from mlflow.genai.evaluation.utils import add_scorer_metadata
from mlflow.genai.scorers import Scorer

from monitor.evaluation.mlflow_runs import REPEAT_KEY

Advance = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedAnswer:
    """An answer's stored trace and what its row expects."""

    trace: Trace
    expectations: Mapping[str, Any]


def judge(
    answers: Sequence[JudgedAnswer], scorers: Sequence[Scorer], run_id: str, *, repeats: int, advance: Advance
) -> None:
    """Judge every answer `repeats` times in an MLflow run, which is finished afterwards.

    Args:
        answers: at least one; each repeat is given the same.
        scorers: at least one.
        run_id: the run that holds the traces.
        repeats: 1 or more.
        advance: told how many of the answers are judged; with repeats, how many it would be.
    """
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        advance(done // repeats)

    # MLflow shows its progress through this name alone.
    setattr(harness, "tqdm", lambda *_args, **_kwargs: _RowsScored(count))  # noqa: B010 - it exports no such name
    data: list[dict[str, Any]] = [{"trace": answer.trace} for answer in answers]
    if any(answer.expectations for answer in answers):
        data = [{**row, "expectations": answer.expectations} for row, answer in zip(data, answers, strict=True)]
    for repeat in range(repeats):
        marked = repeat if repeats > 1 else None
        with mlflow.start_run(run_id=run_id), _Marking(marked):
            mlflow.genai.evaluate(data=data, scorers=list(scorers))
        if repeat == 0 and repeats > 1:
            for answer in answers:
                _expected_already(answer)


def _expected_already(answer: JudgedAnswer) -> None:
    """Let the trace say what MLflow has written to it, lest the next repeat write it again."""
    source = AssessmentSource(source_type=AssessmentSourceType.HUMAN, source_id="tracewatch")
    answer.trace.info.assessments = [
        *(answer.trace.info.assessments or []),
        *(Expectation(name=name, value=value, source=source) for name, value in answer.expectations.items()),
    ]


class _Marking:
    """Within it every feedback that MLflow logs, an error too, bears the number of its repeat."""

    def __init__(self, repeat: int | None) -> None:
        self._repeat = repeat

    def __enter__(self) -> None:
        if self._repeat is not None:
            # All feedback of a call goes through this name before it is logged.
            setattr(harness, "add_scorer_metadata", self._mark)  # noqa: B010 - it exports no such name

    def __exit__(self, *_: object) -> None:
        setattr(harness, "add_scorer_metadata", add_scorer_metadata)  # noqa: B010

    def _mark(self, scorer: Scorer, feedbacks: list[Feedback]) -> None:
        add_scorer_metadata(scorer, feedbacks)
        for feedback in feedbacks:
            feedback.metadata = {**(feedback.metadata or {}), REPEAT_KEY: str(self._repeat)}


class _RowsScored:
    """Stands where MLflow's evaluation expects a progress bar."""

    def __init__(self, count: Callable[[], None]) -> None:
        self._count = count
        self.bar_format = ""

    def update(self, rows: int = 1) -> None:
        for _ in range(rows):
            self._count()

    def refresh(self) -> None:
        """Nothing is drawn here."""

    def close(self) -> None:
        """Nothing was opened."""
