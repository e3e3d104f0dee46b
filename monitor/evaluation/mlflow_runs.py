"""Reads an MLflow evaluation run, whoever made it."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Feedback, Run, Trace, TraceState
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from monitor.errors import ServiceUnavailable
from monitor.evaluation.answer_traces import FAILURE_TAG, RECORD_TAG
from monitor.evaluation.errors import RunNotFound
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun, RowVerdict, RunPlan, of_repeats
from scorers.feedbacks import one_feedback
from scorers.settings import ScorerSettings
from scorers.values import ValueRules, to_verdict

VERSION_RUN_TAG = "tracewatch.version"
DATASET_RUN_TAG = "tracewatch.dataset"
DIGEST_RUN_TAG = "tracewatch.digest"
EVALUATION_RUN_TAG = "tracewatch.evaluation"
PLAN_RUN_TAG = "tracewatch.plan"
# In a feedback's metadata: which of the repeats it belongs to, from 0.
REPEAT_KEY = "tracewatch.repeat"
SCORERS_ARTIFACT = "scorers.json"

_FEEDBACK_RUN = "mlflow.assessment.sourceRunId"
_FEEDBACK_DIGEST = "mlflow.assessment.scorerDigest"
_NOT_FOUND = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class ScorerReading:
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
    return run_of(run, traces, known or _readings(run_id, traces))


def run_of(run: Run, traces: Sequence[Trace], readings: Sequence[ScorerReading]) -> EvaluatedRun:
    """The run with these of its traces."""
    run_id, plan = run.info.run_id, _plan(run)
    repeats = plan.repeats if plan else 1
    return EvaluatedRun(
        version=run.data.tags.get(VERSION_RUN_TAG) or run.info.run_name or run_id,
        run_id=run_id,
        rows=tuple(_row(trace, run_id, readings, repeats) for trace in traces),
        scorers=tuple(reading.name for reading in readings),
        scorer_versions={reading.name: reading.version for reading in readings if reading.version},
        graded=frozenset(reading.name for reading in readings if reading.rules.limits is not None),
        dataset=run.data.tags.get(DATASET_RUN_TAG) or _dataset_name(run),
        digest=run.data.tags.get(DIGEST_RUN_TAG),
        plan=plan,
    )


def plan_tag(plan: RunPlan) -> str:
    """The plan as the text of a run's tag."""
    return json.dumps(asdict(plan))


def _plan(run: Run) -> RunPlan | None:
    text = run.data.tags.get(PLAN_RUN_TAG)
    try:
        return None if text is None else RunPlan(**json.loads(text))
    except (TypeError, ValueError):
        # Another release's plan: the run is read without one.
        return None


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


def _known_scorers(client: MlflowClient, run: Run) -> list[ScorerReading]:
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
    for entry in entries.values():
        settings = ScorerSettings.model_validate(entry["settings"])
        readings.append(reading_of(settings, entry["version"]))
    return readings


def reading_of(settings: ScorerSettings, version: str | None) -> ScorerReading:
    """How the feedback of a configured scorer is read."""
    return ScorerReading(name=settings.name, choose=settings.feedback, rules=settings.rules, version=version)


def _dataset_name(run: Run) -> str | None:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return inputs[0].dataset.name if inputs else None


def _readings(run_id: str, traces: list[Trace]) -> list[ScorerReading]:
    versions: dict[str, str | None] = {}
    for trace in traces:
        for feedback in _feedbacks(trace, run_id):
            digest = (feedback.metadata or {}).get(_FEEDBACK_DIGEST)
            versions[feedback.name] = versions.get(feedback.name) or digest
    return [ScorerReading(name=name, version=versions[name]) for name in sorted(versions)]


def _feedbacks(trace: Trace, run_id: str) -> list[Feedback]:
    """What this run's scorers said; feedback of other runs on the same trace is none of its business."""
    found = [
        assessment
        for assessment in trace.info.assessments or []
        if isinstance(assessment, Feedback) and assessment.valid is not False
    ]
    own = [feedback for feedback in found if (feedback.metadata or {}).get(_FEEDBACK_RUN) == run_id]
    return own or [feedback for feedback in found if _FEEDBACK_RUN not in (feedback.metadata or {})]


def _row(trace: Trace, run_id: str, readings: Sequence[ScorerReading], repeats: int) -> EvaluatedRow:
    root = trace.data._get_root_span()  # noqa: SLF001 - what mlflow.genai.evaluate reads
    feedbacks = _feedbacks(trace, run_id)
    return EvaluatedRow(
        trace_id=trace.info.trace_id,
        inputs=_value(trace.data.request, None if root is None else root.inputs),
        outputs=_value(trace.data.response, None if root is None else root.outputs),
        record_id=(trace.info.tags or {}).get(RECORD_TAG),
        failure=_failure(trace, root),
        verdicts={reading.name: _verdict(reading, feedbacks, repeats) for reading in readings},
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


def _verdict(reading: ScorerReading, feedbacks: list[Feedback], repeats: int) -> RowVerdict:
    prefix = f"{reading.name}/"
    own = [f for f in feedbacks if f.name in (reading.name, reading.choose) or f.name.startswith(prefix)]
    if repeats == 1:
        return _of_one_call(reading, own)
    # A repeat of which nothing was kept is an error, as a scorer is that returned nothing.
    called = [[f for f in own if (f.metadata or {}).get(REPEAT_KEY) == str(repeat)] for repeat in range(repeats)]
    return of_repeats([_of_one_call(reading, each) for each in called])


def _of_one_call(reading: ScorerReading, feedbacks: list[Feedback]) -> RowVerdict:
    feedback = one_feedback(reading.name, feedbacks, reading.choose)
    verdict = to_verdict(feedback, reading.rules)
    return RowVerdict(label=verdict.label, rationale=verdict.reason or feedback.rationale, value=verdict.value)
