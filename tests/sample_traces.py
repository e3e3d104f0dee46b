"""Small traces with deterministic ids, made of MLflow's own entities."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from mlflow.entities import AssessmentSource, Feedback, Span, Trace, TraceData, TraceInfo, TraceLocation
from mlflow.entities.assessment import Assessment
from mlflow.entities.trace_state import TraceState


def sample_trace(
    name: str = "one",
    inputs: Any = None,
    outputs: Any = None,
    tags: dict[str, str] | None = None,
    assessments: list[Assessment] | None = None,
) -> Trace:
    """A trace with a root span and a RETRIEVER span; equal names give equal ids."""
    hexadecimal = hashlib.sha256(name.encode()).hexdigest()[:32]
    trace_id = f"tr-{hexadecimal}"
    asked = {"question": name} if inputs is None else inputs
    answer = {"answer": "yes"} if outputs is None else outputs
    documents = [{"page_content": "a page", "metadata": {"doc_uri": "doc/1"}, "id": "1"}]
    info = TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id("0"),
        request_time=1_764_000_000_000,
        execution_duration=1500,
        state=TraceState.OK,
        request_preview=json.dumps(asked),
        response_preview=json.dumps(answer),
        client_request_id=name[:50],
        trace_metadata={"mlflow.trace.session": "session-1"},
        tags={"mlflow.traceName": "answer", "tracewatch.source_id": name} | (tags or {}),
        assessments=assessments or [],
    )
    spans = [
        _span(trace_id, "root", None, "CHAIN", inputs=asked, outputs=answer),
        _span(trace_id, "retrieved", "root", "RETRIEVER", inputs=asked, outputs=documents),
    ]
    return Trace(info=info, data=TraceData(spans=spans))


def sample_feedback(trace: Trace, name: str = "safety", value: Any = "yes", rationale: str = "it is") -> Feedback:
    """A judge's feedback whose id comes from the trace and the name."""
    feedback = Feedback(
        name=name,
        value=value,
        rationale=rationale,
        source=AssessmentSource(source_type="LLM_JUDGE", source_id="judge"),
    )
    feedback.assessment_id = f"a-{hashlib.sha256(f'{trace.info.trace_id}{name}'.encode()).hexdigest()[:32]}"
    return feedback


def _span(trace_id: str, path: str, parent: str | None, kind: str, *, inputs: Any, outputs: Any) -> Span:
    return Span.from_dict(
        {
            "trace_id": base64.b64encode(bytes.fromhex(trace_id.removeprefix("tr-"))).decode(),
            "span_id": _span_id(trace_id, path),
            "parent_span_id": None if parent is None else _span_id(trace_id, parent),
            "name": path,
            "start_time_unix_nano": 1_764_000_000_000_000_000,
            "end_time_unix_nano": 1_764_000_001_500_000_000,
            "events": [],
            "links": [],
            "status": {"code": "STATUS_CODE_OK", "message": ""},
            "attributes": {
                "mlflow.traceRequestId": json.dumps(trace_id),
                "mlflow.spanType": json.dumps(kind),
                "mlflow.spanInputs": json.dumps(inputs),
                "mlflow.spanOutputs": json.dumps(outputs),
            },
        }
    )


def _span_id(trace_id: str, path: str) -> str:
    return base64.b64encode(hashlib.sha256(f"{trace_id}/{path}".encode()).digest()[:8]).decode()
