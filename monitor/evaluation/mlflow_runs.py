"""Reads an MLflow evaluation run, whoever made it."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Feedback, Run, Trace, TraceState
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from monitor.errors import ServiceUnavailable
from monitor.evaluation.answer_traces import FAILURE_TAG, RECORD_TAG
from monitor.evaluation.errors import RunNotFound
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun, RowVerdict
from scorers.feedbacks import one_feedback
from scorers.settings import ScorerSettings
from scorers.values import ValueRules, to_verdict

VERSION_RUN_TAG = "tracewatch.version"
DATASET_RUN_TAG = "tracewatch.dataset"
DIGEST_RUN_TAG = "tracewatch.digest"
EVALUATION_RUN_TAG = "tracewatch.evaluation"
SCORERS_ARTIFACT = "scorers.json"

_FEEDBACK_RUN = "mlflow.assessment.sourceRunId"
_FEEDBACK_DIGEST = "mlflow.assessment.scorerDigest"
_NOT_FOUND = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class _ScorerReading:
    """How one scorer's feedback is read."""

    name: str
    choose: str | None = None
    rules: ValueRules = field(default_factory=ValueRules)
    version: str | None = None


def load_run(run_id: str, tracking_uri: str | None = None) -> EvaluatedRun:
    """A run with its traces and their verdicts, the oldest trace first.

    A run that Tracewatch made tells how each scorer's values become verdicts; for others the default rules hold, by
    which a number is an error.

    Args:
        run_id: the MLflow run.
        tracking_uri: where it is; None asks MLflow's own configuration.

    Raises:
        RunNotFound: there is no such run, or it holds no traces.
        ServiceUnavailable: MLflow cannot be reached.
    """
    try:
        client = MlflowClient(tracking_uri)
        run = client.get_run(run_id)
        traces = _traces(client, run)
        known = _known_scorers(client, run)
    except MlflowException as error:
        if error.error_code in _NOT_FOUND:
            raise RunNotFound(f"MLflow has no run {run_id!r}: {error.message}") from error
        raise ServiceUnavailable(f"MLflow did not give run {run_id!r}: {error.message}") from error
    except OSError as error:
        raise ServiceUnavailable(f"MLflow cannot be reached: {error}") from error
    if not traces:
        raise RunNotFound(f"run {run_id!r} holds no traces: it is not an evaluation run of mlflow.genai.evaluate")
    readings = known or _readings(run_id, traces)
    return EvaluatedRun(
        version=run.data.tags.get(VERSION_RUN_TAG) or run.info.run_name or run_id,
        run_id=run_id,
        rows=tuple(_row(trace, run_id, readings) for trace in traces),
        scorers=tuple(reading.name for reading in readings),
        scorer_versions={reading.name: reading.version for reading in readings if reading.version},
        dataset=run.data.tags.get(DATASET_RUN_TAG) or _dataset_name(run),
        digest=run.data.tags.get(DIGEST_RUN_TAG),
    )


def _traces(client: MlflowClient, run: Run) -> list[Trace]:
    traces: list[Trace] = []
    token: str | None = None
    while True:
        page = client.search_traces(
            locations=[run.info.experiment_id],
            run_id=run.info.run_id,
            max_results=_PAGE,
            page_token=token,
            order_by=["timestamp_ms ASC"],
        )
        traces += page
        token = page.token
        if not token:
            return traces


def _known_scorers(client: MlflowClient, run: Run) -> list[_ScorerReading]:
    if VERSION_RUN_TAG not in run.data.tags:
        return []
    try:
        with tempfile.TemporaryDirectory(prefix="tracewatch-run-") as folder:
            path = client.download_artifacts(run.info.run_id, SCORERS_ARTIFACT, folder)
            entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except RestException:
        raise
    except (MlflowException, OSError):
        # A run of that tag which lost its artifact is read like anybody's.
        return []
    readings = []
    for name, entry in entries.items():
        settings = ScorerSettings.model_validate(entry["settings"])
        readings.append(
            _ScorerReading(name=name, choose=settings.feedback, rules=settings.rules, version=entry["version"])
        )
    return readings


def _dataset_name(run: Run) -> str | None:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return inputs[0].dataset.name if inputs else None


def _readings(run_id: str, traces: list[Trace]) -> list[_ScorerReading]:
    versions: dict[str, str | None] = {}
    for trace in traces:
        for feedback in _feedbacks(trace, run_id):
            digest = (feedback.metadata or {}).get(_FEEDBACK_DIGEST)
            versions[feedback.name] = versions.get(feedback.name) or digest
    return [_ScorerReading(name=name, version=versions[name]) for name in sorted(versions)]


def _feedbacks(trace: Trace, run_id: str) -> list[Feedback]:
    """What this run's scorers said; feedback of other runs on the same trace is none of its business."""
    found = [
        assessment
        for assessment in trace.info.assessments or []
        if isinstance(assessment, Feedback) and assessment.valid is not False
    ]
    own = [feedback for feedback in found if (feedback.metadata or {}).get(_FEEDBACK_RUN) == run_id]
    return own or [feedback for feedback in found if _FEEDBACK_RUN not in (feedback.metadata or {})]


def _row(trace: Trace, run_id: str, readings: list[_ScorerReading]) -> EvaluatedRow:
    root = trace.data._get_root_span()  # noqa: SLF001 - what mlflow.genai.evaluate reads
    feedbacks = _feedbacks(trace, run_id)
    return EvaluatedRow(
        trace_id=trace.info.trace_id,
        inputs=_value(trace.data.request, None if root is None else root.inputs),
        outputs=_value(trace.data.response, None if root is None else root.outputs),
        record_id=(trace.info.tags or {}).get(RECORD_TAG),
        failure=_failure(trace, root),
        verdicts={reading.name: _verdict(reading, feedbacks) for reading in readings},
    )


def _value(text: str | None, value: Any) -> Any:
    if value is not None or text is None:
        return value
    try:
        return json.loads(text)
    except ValueError:
        return text


def _failure(trace: Trace, root: Any) -> str | None:
    if trace.info.state != TraceState.ERROR:
        return None
    tags: Mapping[str, str] = trace.info.tags or {}
    return tags.get(FAILURE_TAG) or (root.status.description if root is not None else None) or "status ERROR"


def _verdict(reading: _ScorerReading, feedbacks: list[Feedback]) -> RowVerdict:
    prefix = f"{reading.name}/"
    own = [f for f in feedbacks if f.name in (reading.name, reading.choose) or f.name.startswith(prefix)]
    feedback = one_feedback(reading.name, own, reading.choose)
    verdict = to_verdict(feedback, reading.rules)
    return RowVerdict(label=verdict.label, rationale=verdict.reason or feedback.rationale)
