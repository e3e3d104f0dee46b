"""From an answer to the MLflow trace that the evaluator stores."""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Span, Trace, TraceData, TraceInfo, TraceLocation, TraceState

from monitor.evaluation.answers import Answer
from monitor.evaluation.evaluator import EvaluationRow

RECORD_TAG = "tracewatch.record_id"
VERSION_TAG = "tracewatch.app_version"
EVALUATION_TAG = "tracewatch.evaluation"
FAILURE_TAG = "tracewatch.failure"

_SOURCE_RUN = "mlflow.sourceRun"
_FAILURE_CHARS = 500
_PREVIEW_CHARS = 1000
# What ties a trace to the store in which it was made.
_FOREIGN_TAGS = ("mlflow.artifactLocation", "mlflow.trace.spansLocation")


def answer_trace(answer: Answer, row: EvaluationRow, *, version: str, run_id: str, experiment_id: str) -> Trace:
    """The trace of one answer, at home in the experiment and marked as part of the evaluation's run.

    A row without an answer gets a trace with the state ERROR and the cause in its root span and a tag.
    """
    trace = _built(answer, row) if answer.trace_json is None else Trace.from_json(answer.trace_json)
    info = trace.info
    info.trace_location = TraceLocation.from_experiment_id(experiment_id)
    info.trace_metadata = {**(info.trace_metadata or {}), _SOURCE_RUN: run_id}
    tags = {key: value for key, value in (info.tags or {}).items() if key not in _FOREIGN_TAGS}
    tags |= {**row.tags, VERSION_TAG: version, EVALUATION_TAG: run_id}
    if row.record_id is not None:
        tags[RECORD_TAG] = row.record_id
    if answer.failure is not None:
        info.state = TraceState.ERROR
        tags[FAILURE_TAG] = f"{answer.failure.kind}: {answer.failure.message}"[:_FAILURE_CHARS]
    info.tags = tags
    return trace


def _built(answer: Answer, row: EvaluationRow) -> Trace:
    trace_id = answer.trace_id or f"tr-{secrets.token_hex(16)}"
    start_ns = answer.started_ms * 1_000_000
    end_ns = start_ns + int(answer.duration_ms * 1_000_000)
    failure = answer.failure
    root = _span(
        trace_id, "answer", "CHAIN", (start_ns, end_ns), parent=None, inputs=row.inputs, outputs=answer.outputs
    )
    if failure is not None:
        root["status"] = {"code": "STATUS_CODE_ERROR", "message": f"{failure.kind}: {failure.message}"}
    spans = [root]
    if answer.retrieved:
        documents = [_document(document) for document in answer.retrieved]
        times = (start_ns, end_ns)
        spans.append(
            _span(
                trace_id, "retrieved", "RETRIEVER", times, parent=root["span_id"], inputs=row.inputs, outputs=documents
            )
        )
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id("0"),
        request_time=answer.started_ms,
        execution_duration=round(answer.duration_ms),
        state=TraceState.OK if failure is None else TraceState.ERROR,
        request_preview=json.dumps(row.inputs, ensure_ascii=False, default=str)[:_PREVIEW_CHARS],
        response_preview=json.dumps(answer.outputs, ensure_ascii=False, default=str)[:_PREVIEW_CHARS],
        trace_metadata={"mlflow.trace_schema.version": "3"},
        tags={"mlflow.traceName": "answer"},
    )
    return Trace(info, TraceData([Span.from_dict(span) for span in spans]))


def _span(
    trace_id: str, name: str, kind: str, times_ns: tuple[int, int], *, parent: str | None, inputs: Any, outputs: Any
) -> dict[str, Any]:
    digest = hashlib.sha256(f"{trace_id}/{name}".encode()).digest()[:8]
    return {
        "trace_id": base64.b64encode(bytes.fromhex(trace_id.removeprefix("tr-"))).decode(),
        "span_id": base64.b64encode(digest).decode(),
        "parent_span_id": parent,
        "name": name,
        "start_time_unix_nano": times_ns[0],
        "end_time_unix_nano": times_ns[1],
        "events": [],
        "links": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {
            "mlflow.traceRequestId": json.dumps(trace_id),
            "mlflow.spanType": json.dumps(kind),
            "mlflow.spanInputs": json.dumps(inputs, ensure_ascii=False),
            "mlflow.spanOutputs": json.dumps(outputs, ensure_ascii=False),
        },
    }


def _document(document: Mapping[str, Any]) -> dict[str, Any]:
    uri = document.get("doc_uri")
    metadata = document.get("metadata") or ({} if uri is None else {"doc_uri": uri})
    return {"page_content": document["page_content"], "metadata": metadata, "id": document.get("id")}
