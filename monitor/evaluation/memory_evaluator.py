"""An evaluator without processes and services: versions and scorers are plain callables."""

from collections.abc import Callable, Mapping
from typing import Any

from monitor.evaluation.comparison import compare_runs, comparison_json
from monitor.evaluation.errors import CandidateUnavailable, EvaluationCancelled
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun, RowVerdict
from monitor.evaluation.evaluator import (
    EvaluationProgress,
    EvaluationRequest,
    EvaluationResult,
    Progress,
    VersionRun,
    no_progress,
)

Application = Callable[[dict[str, Any]], Any]
Judgement = Callable[[dict[str, Any], Any], bool]


class MemoryEvaluator:
    """Asks `applications` by version for the rows' inputs and `judgements` by scorer for pass or fail.

    An application that raises fails its row; a judgement that raises is an error verdict; a version without an
    application cannot be run.
    """

    def __init__(self, applications: Mapping[str, Application], judgements: Mapping[str, Judgement]) -> None:
        self._applications = applications
        self._judgements = judgements
        self._cancelled = False

    def evaluate(self, request: EvaluationRequest, progress: Progress = no_progress) -> EvaluationResult:
        """As the protocol says."""
        self._cancelled = False
        progress(EvaluationProgress(stage="starting"))
        if request.baseline not in self._applications:
            raise CandidateUnavailable(request.baseline, "no application of that name")
        missing = [version for version in request.versions if version not in self._applications]
        runs = {
            version: self._run(version, request, progress) for version in request.versions if version not in missing
        }
        comparisons = {
            version: comparison_json(compare_runs(runs[request.baseline], run, margin=request.margin))
            for version, run in runs.items()
            if version != request.baseline
        }
        progress(EvaluationProgress(stage="finished"))
        return EvaluationResult(
            id=request.id,
            runs={version: _version_run(run) for version, run in runs.items()},
            comparisons=comparisons,
            unavailable=dict.fromkeys(missing, "no application of that name"),
        )

    def cancel(self) -> None:
        """The evaluation ends before its next row."""
        self._cancelled = True

    def _run(self, version: str, request: EvaluationRequest, progress: Progress) -> EvaluatedRun:
        run_id, total = f"{request.id}-{version}", len(request.rows)
        rows = []
        for index, row in enumerate(request.rows):
            if self._cancelled:
                raise EvaluationCancelled("the evaluation was stopped")
            rows.append(self._row(f"tr-{version}-{index}", version, row.inputs, row.record_id))
            progress(EvaluationProgress(stage="answered", version=version, done=index + 1, total=total))
            progress(EvaluationProgress(stage="scored", version=version, done=index + 1, total=total))
        return EvaluatedRun(
            version=version,
            run_id=run_id,
            rows=tuple(rows),
            scorers=tuple(self._judgements),
            dataset=request.dataset,
            digest=request.digest,
        )

    def _row(self, trace_id: str, version: str, inputs: dict[str, Any], record_id: str | None) -> EvaluatedRow:
        try:
            outputs = self._applications[version](inputs)
        except Exception as error:  # noqa: BLE001 - an application that raises fails its row
            failure = f"raised: {error}"
            return EvaluatedRow(trace_id=trace_id, inputs=inputs, outputs=None, record_id=record_id, failure=failure)
        verdicts = {name: _verdict(judgement, inputs, outputs) for name, judgement in self._judgements.items()}
        return EvaluatedRow(trace_id=trace_id, inputs=inputs, outputs=outputs, record_id=record_id, verdicts=verdicts)


def _verdict(judgement: Judgement, inputs: dict[str, Any], outputs: Any) -> RowVerdict:
    try:
        return RowVerdict(label="pass" if judgement(inputs, outputs) else "fail", rationale="as judged")
    except Exception as error:  # noqa: BLE001 - a scorer that raises is an error verdict
        return RowVerdict(label="error", rationale=str(error))


def _version_run(run: EvaluatedRun) -> VersionRun:
    rates = {scorer: run.rate(scorer) for scorer in run.scorers}
    defined = [rate for rate in rates.values() if rate is not None]
    return VersionRun(
        version=run.version,
        run_id=run.run_id,
        overall=sum(defined) / len(defined) if defined else None,
        metrics=rates,
        failed_rows=sum(row.failure is not None for row in run.rows),
    )
