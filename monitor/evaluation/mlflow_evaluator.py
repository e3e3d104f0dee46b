"""The second child process: it stores the answers' traces, has MLflow judge them, and compares the runs.

`python -m monitor.evaluation.mlflow_evaluator` reads the task, makes a run for every version with the rows frozen in
it, says so, then takes each version's answers as they are ready. It never runs a version: `candidate_process` does.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, BinaryIO

import mlflow
from mlflow.entities import Run, Trace, TraceState
from mlflow.exceptions import MlflowException
from mlflow.genai.evaluation import harness
from mlflow.tracing.client import TracingClient
from mlflow.tracking import MlflowClient

from monitor.errors import MonitorError
from monitor.evaluation.answer_traces import answer_trace
from monitor.evaluation.answers import Answer
from monitor.evaluation.candidate_worker import end_with_parent
from monitor.evaluation.comparison import compare_runs, comparison_json
from monitor.evaluation.evaluated_run import EvaluatedRun
from monitor.evaluation.evaluator_task import EvaluatorTask
from monitor.evaluation.mlflow_runs import (
    DATASET_RUN_TAG,
    DIGEST_RUN_TAG,
    EVALUATION_RUN_TAG,
    SCORERS_ARTIFACT,
    VERSION_RUN_TAG,
    load_run,
)
from monitor.evaluation.report import report_files
from monitor.mlflow_transport import configure_mlflow_transport
from scorers.catalog import ConfiguredScorer, build_scorer
from scorers.errors import ScorerError
from scorers.judge_transport import judge_usage
from scorers.judges import configure_judge
from scorers.registry import MlflowScorerRegistry

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

    def take(self, version: str, answers: Sequence[Answer]) -> dict[str, Any]:
        """Store a version's answers, judge those that the application gave, and close its run.

        Returns:
            The fields of a `VersionRun`.
        """
        run_id = self._runs[version].info.run_id
        traces = self._store(version, run_id, answers)
        failed = [trace for _, trace in traces if trace.info.state == TraceState.ERROR]
        judged = [(answer, trace) for answer, trace in traces if trace.info.state != TraceState.ERROR]
        for start in range(0, len(failed), _LINK_BATCH):
            batch = [trace.info.trace_id for trace in failed[start : start + _LINK_BATCH]]
            self._client.link_traces_to_run(batch, run_id)
        if judged and self._scorers:
            self._judge(version, run_id, judged, len(failed))
        else:
            self._client.set_terminated(run_id)
        run = self._done[version] = load_run(run_id, self._task.tracking_uri)
        rates = {scorer: run.rate(scorer) for scorer in run.scorers}
        defined = [rate for rate in rates.values() if rate is not None]
        return {
            "version": version,
            "run_id": run_id,
            "overall": sum(defined) / len(defined) if defined else None,
            "metrics": rates,
            "failed_rows": len(failed),
        }

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

    def _judge(self, version: str, run_id: str, judged: Sequence[tuple[Answer, Trace]], failed: int) -> None:
        total = len(judged) + failed
        self._say({"scored": version, "done": failed, "total": total})

        def advance(done: int) -> None:
            self._say({"scored": version, "done": failed + done, "total": total})

        # MLflow shows its progress through this name alone.
        setattr(harness, "tqdm", lambda *_args, **_kwargs: _RowsScored(advance))  # noqa: B010 - it exports no such name
        expectations = [self._task.rows[answer.row].expectations for answer, _ in judged]
        data: list[dict[str, Any]] = [{"trace": trace} for _, trace in judged]
        if any(expectations):
            data = [{**row, "expectations": given} for row, given in zip(data, expectations, strict=True)]
        with mlflow.start_run(run_id=run_id):
            mlflow.genai.evaluate(data=data, scorers=[scorer.scorer for scorer in self._scorers])

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


class _RowsScored:
    """Stands where MLflow's evaluation expects a progress bar."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance = advance
        self._done = 0
        self.bar_format = ""

    def update(self, rows: int = 1) -> None:
        self._done += rows
        self._advance(self._done)

    def refresh(self) -> None:
        """Nothing is drawn here."""

    def close(self) -> None:
        """Nothing was opened."""


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
                answers = [Answer.from_dict(each) for each in message["answers"]]
                say({"run": evaluation.take(message["version"], answers)})
            elif "unavailable" in message:
                evaluation.abandon(message["version"], message["unavailable"])
            elif "compare" in message:
                say({"comparisons": evaluation.compare()})
                say({"usage": {model: asdict(usage) for model, usage in judge_usage().items()}})
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
