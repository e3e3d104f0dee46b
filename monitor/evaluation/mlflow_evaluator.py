"""The second child process: it stores the answers' traces, has MLflow judge them, and compares the runs.

`python -m monitor.evaluation.mlflow_evaluator` reads the task, makes a run for every version with the rows frozen in
it, says so, then takes each version's answers as they are ready, all at once or batch by batch. Between batches it says
which candidates are settled. It never runs a version: `candidate_process` does.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO

import mlflow
from mlflow.entities import Run, Trace, TraceState
from mlflow.exceptions import MlflowException
from mlflow.tracing.client import TracingClient
from mlflow.tracking import MlflowClient

from monitor.errors import MonitorError
from monitor.evaluation.answer_traces import answer_trace
from monitor.evaluation.answers import Answer
from monitor.evaluation.candidate_worker import end_with_parent
from monitor.evaluation.comparison import compare_runs
from monitor.evaluation.comparison_json import comparison_json
from monitor.evaluation.evaluated_run import EvaluatedRun, RunPlan
from monitor.evaluation.evaluator_task import EvaluatorTask
from monitor.evaluation.mlflow_judging import JudgedAnswer, judge
from monitor.evaluation.mlflow_runs import (
    DATASET_RUN_TAG,
    DIGEST_RUN_TAG,
    EVALUATION_RUN_TAG,
    PLAN_RUN_TAG,
    SCORERS_ARTIFACT,
    VERSION_RUN_TAG,
    load_run,
    plan_tag,
    reading_of,
    run_of,
)
from monitor.evaluation.report import report_files
from monitor.tracking.transport import configure_mlflow_transport
from scorers.catalog import ConfiguredScorer, build_scorer
from scorers.errors import ScorerError
from scorers.judge_transport import judge_usage
from scorers.judges import configure_judge
from scorers.registry import MlflowScorerRegistry
from scorers.values import ValueRules

ROWS_ARTIFACT = "rows.json"
_LINK_BATCH = 100

Say = Callable[[dict[str, Any]], None]


class MlflowEvaluation:
    """One evaluation against an MLflow experiment: its runs are open from the start."""

    def __init__(self, task: EvaluatorTask, say: Say) -> None:
        self._task = task
        self._say = say
        configure_mlflow_transport(task.mlflow)
        mlflow.set_tracking_uri(task.tracking_uri)
        self._client = MlflowClient(task.tracking_uri)
        self._experiment_id = mlflow.set_experiment(task.experiment).experiment_id
        configure_judge(task.judge)
        registry = MlflowScorerRegistry(self._experiment_id)
        self._scorers: list[ConfiguredScorer] = [build_scorer(each, task.judge, registry) for each in task.scorers]
        self._runs = {version: self._begin(version) for version in task.versions}
        self._taken = {version: _Taken() for version in task.versions}
        self._done: dict[str, EvaluatedRun] = {}

    @property
    def run_ids(self) -> dict[str, str]:
        """The MLflow run of each version."""
        return {version: run.info.run_id for version, run in self._runs.items()}

    def _begin(self, version: str) -> Run:
        task = self._task
        run = self._client.create_run(
            self._experiment_id,
            run_name=version,
            tags={
                VERSION_RUN_TAG: version,
                DATASET_RUN_TAG: task.dataset,
                DIGEST_RUN_TAG: task.digest,
                EVALUATION_RUN_TAG: task.id,
                PLAN_RUN_TAG: plan_tag(self._plan()),
            },
        )
        value = task.to_dict()
        frozen = {"dataset": task.dataset, "digest": task.digest, "rows": value["rows"]}
        scorers = {
            scorer.name: {"version": scorer.version, "settings": scorer.settings.model_dump(mode="json")}
            for scorer in self._scorers
        }
        self._client.log_text(run.info.run_id, json.dumps(frozen, indent=1, ensure_ascii=False), ROWS_ARTIFACT)
        self._client.log_text(run.info.run_id, json.dumps(scorers, indent=1, ensure_ascii=False), SCORERS_ARTIFACT)
        return run

    def _plan(self) -> RunPlan:
        task = self._task
        judges = sum(scorer.kind == "judge" for scorer in self._scorers)
        return RunPlan(rows=len(task.rows), repeats=task.repeats, early_stop=task.early_stop, judges=judges)

    def take(self, version: str, answers: Sequence[Answer]) -> None:
        """Store answers of a version, and judge those that the application gave."""
        run_id, taken = self._runs[version].info.run_id, self._taken[version]
        traces = self._store(version, run_id, answers)
        failed = [trace for _, trace in traces if trace.info.state == TraceState.ERROR]
        judged = [(answer, trace) for answer, trace in traces if trace.info.state != TraceState.ERROR]
        for start in range(0, len(failed), _LINK_BATCH):
            batch = [trace.info.trace_id for trace in failed[start : start + _LINK_BATCH]]
            self._client.link_traces_to_run(batch, run_id)
        taken.failed += len(failed)
        taken.traces += [trace.info.trace_id for _, trace in traces]
        if judged and self._scorers:
            self._judge(version, run_id, judged, len(taken.traces) - len(judged))
            taken.calls += self._task.repeats

    def settled(self, candidates: Sequence[str]) -> list[str]:
        """Those of the candidates of which further rows would change no answer, by the rows so far."""
        baseline = self._so_far(self._task.baseline)
        compared = {each: compare_runs(baseline, self._so_far(each), margin=self._task.margin) for each in candidates}
        return [version for version, comparison in compared.items() if comparison.settled]

    def _so_far(self, version: str) -> EvaluatedRun:
        taken = self._taken[version]
        readings = [reading_of(scorer.settings, scorer.version) for scorer in self._scorers]
        new = [self._client.get_trace(trace_id) for trace_id in taken.traces[taken.looked_at :]]
        taken.looked_at = len(taken.traces)
        run = run_of(self._runs[version], new, readings)
        run = taken.so_far = run if taken.so_far is None else replace(run, rows=(*taken.so_far.rows, *run.rows))
        return run

    def finish(self, version: str) -> dict[str, Any]:
        """Close a version's run.

        Returns:
            The fields of a `VersionRun`.
        """
        run_id, taken = self._runs[version].info.run_id, self._taken[version]
        run = self._done[version] = load_run(run_id, self._task.tracking_uri)
        if taken.calls > 1:
            self._log_means(run_id, run)
        self._client.set_terminated(run_id)
        rates = {scorer: run.rate(scorer) for scorer in run.scorers}
        defined = [rate for rate in rates.values() if rate is not None]
        return {
            "version": version,
            "run_id": run_id,
            "overall": sum(defined) / len(defined) if defined else None,
            "metrics": rates,
            "failed_rows": taken.failed,
        }

    def _log_means(self, run_id: str, run: EvaluatedRun) -> None:
        """The means over all calls: MLflow has left those of the last one."""
        for scorer in self._scorers:
            mean = run.answered_rate(scorer.name)
            if mean is not None:
                value = _own_unit(mean, scorer.rules)
                self._client.log_metric(run_id, f"{scorer.name}/mean", value, step=self._taken[run.version].calls)

    def _store(self, version: str, run_id: str, answers: Iterable[Answer]) -> list[tuple[Answer, Trace]]:
        store = TracingClient(self._task.tracking_uri)
        traces = []
        for answer in sorted(answers, key=lambda each: each.row):
            row = self._task.rows[answer.row]
            trace = answer_trace(answer, row, version=version, run_id=run_id, experiment_id=self._experiment_id)
            trace.info = store.start_trace(trace.info)
            traces.append((answer, trace))
        store.log_spans(self._experiment_id, [span for _, trace in traces for span in trace.data.spans])
        return traces

    def _judge(self, version: str, run_id: str, judged: Sequence[tuple[Answer, Trace]], before: int) -> None:
        total = len(self._task.rows)

        def advance(done: int) -> None:
            # With what it cost so far, of which the parent knows when this process is gone.
            self._say({"scored": version, "done": before + done, "total": total, "spent": _usage()})

        advance(0)
        judge(
            [
                JudgedAnswer(trace=trace, expectations=self._task.rows[answer.row].expectations)
                for answer, trace in judged
            ],
            [scorer.scorer for scorer in self._scorers],
            run_id,
            repeats=self._task.repeats,
            advance=advance,
        )

    def abandon(self, version: str, cause: str) -> None:
        """Close the run of a version that could not be run."""
        run_id = self._runs[version].info.run_id
        self._client.set_tag(run_id, "tracewatch.unavailable", cause[:500])
        self._client.set_terminated(run_id, "FAILED")

    def compare(self) -> dict[str, dict[str, Any]]:
        """Every candidate against the baseline; the report is kept in the candidate's run."""
        task = self._task
        comparisons = {}
        for version in task.versions:
            if version == task.baseline or version not in self._done:
                continue
            comparison = compare_runs(self._done[task.baseline], self._done[version], margin=task.margin)
            for name, text in report_files(comparison).items():
                self._client.log_text(self._runs[version].info.run_id, text, name)
            comparisons[version] = comparison_json(comparison)
        return comparisons

    def close(self) -> None:
        """End runs that were begun and not finished."""
        for version, run in self._runs.items():
            if version not in self._done and self._client.get_run(run.info.run_id).info.status == "RUNNING":
                self._client.set_terminated(run.info.run_id, "FAILED")


@dataclass(kw_only=True, slots=True)
class _Taken:
    """What has come of a version: its traces, how many of them failed, and how often MLflow was asked to judge."""

    traces: list[str] = field(default_factory=list)
    failed: int = 0
    calls: int = 0
    looked_at: int = 0
    so_far: EvaluatedRun | None = None


def _own_unit(score: float, rules: ValueRules) -> float:
    """A score in 0..1 as the number that the scorer would have given."""
    if rules.limits is None:
        return score
    low, high = rules.limits
    return low + (high - low) * (1 - score if rules.better == "lower" else score)


def _usage() -> dict[str, Any]:
    return {model: asdict(usage) for model, usage in judge_usage().items()}


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return incoming, outgoing


def _serve(messages: Iterable[dict[str, Any]], say: Say) -> None:
    evaluation: MlflowEvaluation | None = None
    try:
        for message in messages:
            if "task" in message:
                evaluation = MlflowEvaluation(EvaluatorTask.from_dict(message["task"]), say)
                say({"frozen": evaluation.run_ids})
            elif evaluation is None:
                raise ValueError("the task comes first")
            elif "answers" in message:
                evaluation.take(message["version"], [Answer.from_dict(each) for each in message["answers"]])
                say({"spent": _usage()})
                say({"judged": message["version"]})
            elif "look" in message:
                say({"settled": evaluation.settled(message["look"])})
            elif "finish" in message:
                say({"run": evaluation.finish(message["finish"])})
            elif "unavailable" in message:
                evaluation.abandon(message["version"], message["unavailable"])
            elif "compare" in message:
                say({"spent": _usage()})
                say({"comparisons": evaluation.compare()})
    finally:
        if evaluation is not None:
            evaluation.close()


def main() -> int:
    """Serve one evaluation; 1 where it failed, with the reason as the last message."""
    end_with_parent()
    # The runs are closed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    incoming, outgoing = _own_streams()

    def say(message: dict[str, Any]) -> None:
        outgoing.write(json.dumps(message, default=str).encode() + b"\n")
        outgoing.flush()

    try:
        _serve((json.loads(line) for line in incoming), say)
    except (MonitorError, ScorerError, MlflowException, OSError) as error:
        say({"error": f"{type(error).__name__}: {error}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
