"""An evaluator without processes and services: versions and scorers are plain callables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlflow.entities import Feedback

from monitor.evaluation.comparison import compare_runs
from monitor.evaluation.comparison_json import comparison_json
from monitor.evaluation.errors import CandidateUnavailable, EvaluationCancelled
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun, RowVerdict, RunPlan, of_repeats
from monitor.evaluation.evaluator import (
    EvaluationProgress,
    EvaluationRequest,
    EvaluationResult,
    Progress,
    VersionRun,
    no_progress,
)
from monitor.evaluation.row_order import batches
from scorers.values import ValueRules, to_verdict

Application = Callable[[dict[str, Any]], Any]
Judgement = Callable[[dict[str, Any], Any], bool | float | str]


class MemoryEvaluator:
    """Asks `applications` by version for the rows' inputs and `judgements` by scorer for a value of each answer.

    An application that raises fails its row; a judgement that raises is an error verdict; a version without an
    application cannot be run. Values are read by the rules of the request's scorer of that name, if it has one.
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
        candidates = [version for version in request.versions if version not in (*missing, request.baseline)]
        rows: dict[str, list[EvaluatedRow]] = {version: [] for version in (request.baseline, *candidates)}
        live = list(candidates)
        for batch in _batches(request):
            for version in (request.baseline, *live):
                self._take(version, request, batch, rows[version], progress)
            if request.stops_early:
                baseline = self._run(request.baseline, request, rows[request.baseline])
                runs = {version: self._run(version, request, rows[version]) for version in live}
                live = [each for each in live if not compare_runs(baseline, runs[each], margin=request.margin).settled]
                if not live:
                    break
        progress(EvaluationProgress(stage="finished"))
        return self._result(request, {version: self._run(version, request, rows[version]) for version in rows}, missing)

    def cancel(self) -> None:
        """The evaluation ends before its next row."""
        self._cancelled = True

    def _take(
        self,
        version: str,
        request: EvaluationRequest,
        batch: Sequence[int],
        rows: list[EvaluatedRow],
        progress: Progress,
    ) -> None:
        for index in batch:
            if self._cancelled:
                raise EvaluationCancelled("the evaluation was stopped")
            rows.append(self._row(f"tr-{version}-{index}", version, request, index))
            for stage in ("answered", "scored"):
                done, total = len(rows), len(request.rows)
                progress(EvaluationProgress(stage=stage, version=version, done=done, total=total))

    def _run(self, version: str, request: EvaluationRequest, rows: Sequence[EvaluatedRow]) -> EvaluatedRun:
        graded = {scorer.name for scorer in request.scorers if scorer.limits is not None}
        return EvaluatedRun(
            version=version,
            run_id=f"{request.id}-{version}",
            rows=tuple(rows),
            scorers=tuple(self._judgements),
            graded=frozenset(graded & set(self._judgements)),
            dataset=request.dataset,
            digest=request.digest,
            plan=RunPlan(rows=len(request.rows), repeats=request.repeats, early_stop=request.stops_early),
        )

    def _row(self, trace_id: str, version: str, request: EvaluationRequest, index: int) -> EvaluatedRow:
        inputs, record_id = request.rows[index].inputs, request.rows[index].record_id
        try:
            outputs = self._applications[version](inputs)
        except Exception as error:  # noqa: BLE001 - an application that raises fails its row
            failure = f"raised: {error}"
            return EvaluatedRow(trace_id=trace_id, inputs=inputs, outputs=None, record_id=record_id, failure=failure)
        rules = {scorer.name: scorer.rules for scorer in request.scorers}
        verdicts = {}
        for name, judgement in self._judgements.items():
            repeats = [
                _verdict(name, judgement, (inputs, outputs), rules.get(name, ValueRules()))
                for _ in range(request.repeats)
            ]
            verdicts[name] = repeats[0] if request.repeats == 1 else of_repeats(repeats)
        return EvaluatedRow(trace_id=trace_id, inputs=inputs, outputs=outputs, record_id=record_id, verdicts=verdicts)

    def _result(
        self, request: EvaluationRequest, runs: Mapping[str, EvaluatedRun], missing: Sequence[str]
    ) -> EvaluationResult:
        baseline = runs[request.baseline]
        return EvaluationResult(
            id=request.id,
            runs={version: _version_run(run) for version, run in runs.items()},
            comparisons={
                version: comparison_json(compare_runs(baseline, run, margin=request.margin))
                for version, run in runs.items()
                if version != request.baseline
            },
            unavailable=dict.fromkeys(missing, "no application of that name"),
        )


def _batches(request: EvaluationRequest) -> list[list[int]]:
    if not request.stops_early:
        return [list(range(len(request.rows)))]
    return batches(request.rows, request.digest, request.batch_rows)


def _verdict(name: str, judgement: Judgement, judged: tuple[dict[str, Any], Any], rules: ValueRules) -> RowVerdict:
    try:
        value = judgement(*judged)
    except Exception as error:  # noqa: BLE001 - a scorer that raises is an error verdict
        return RowVerdict(label="error", rationale=str(error))
    verdict = to_verdict(Feedback(name=name, value=value), rules)
    return RowVerdict(label=verdict.label, rationale=verdict.reason or "as judged", value=verdict.value)


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
