"""Calls a function and keeps its MLflow trace in memory: no store is made, none is asked.

MLflow's own span processor does its work, so that autologged and RETRIEVER spans, tags and sessions are as in
production; only its exporter is replaced. The replacement also stands after the application has called
`mlflow.set_experiment` or `mlflow.set_tracking_uri`, which build the tracer anew.
"""

import asyncio
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import mlflow
from mlflow.entities import SpanType, Trace, TraceInfo, TraceLocation, TraceState
from mlflow.tracing import provider
from mlflow.tracing.processor.mlflow_v3 import MlflowV3SpanProcessor
from mlflow.tracing.trace_manager import InMemoryTraceManager
from mlflow.tracing.utils import generate_trace_id_v3
from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_NAME_TAG = "mlflow.traceName"


class _MemoryExporter(SpanExporter):
    def __init__(self) -> None:
        self.traces: dict[str, Trace] = {}

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            if span.parent is None and span.context is not None:
                manager = InMemoryTraceManager.get_instance()  # type: ignore[no-untyped-call]
                popped = manager.pop_trace(span.context.trace_id)
                if popped is not None:
                    self.traces[popped.trace.info.trace_id] = popped.trace
        return SpanExportResult.SUCCESS


class _MemoryProcessor(MlflowV3SpanProcessor):
    def _start_trace(self, root_span: Span) -> TraceInfo:
        # The experiment is the evaluator's business: looking one up here would open a store.
        assert root_span.context is not None  # noqa: S101 - a started span has a context
        info = TraceInfo(
            trace_id=generate_trace_id_v3(root_span),
            trace_location=TraceLocation.from_experiment_id("0"),
            request_time=(root_span.start_time or 0) // 1_000_000,
            execution_duration=None,
            state=TraceState.IN_PROGRESS,
            trace_metadata=self._get_basic_trace_metadata(),
            tags=self._get_basic_trace_tags(root_span),
        )
        self._trace_manager.register_trace(root_span.context.trace_id, info)
        return info


class TraceCapture:
    """Answers rows with a function, one at a time, each with the whole trace of its call."""

    def __init__(self) -> None:
        self._exporter = _MemoryExporter()
        processor = _MemoryProcessor(span_exporter=self._exporter, export_metrics=False)
        provider._get_span_processors = lambda disabled=False: [] if disabled else [processor]  # noqa: SLF001
        provider.reset()  # type: ignore[no-untyped-call]

    def call(self, function: Callable[..., Any], inputs: dict[str, Any]) -> tuple[str, str, BaseException | None]:
        """Call the function with the inputs as keyword arguments; coroutines are run, generators read to the end.

        Returns:
            The trace id, the trace as JSON, and what the function raised.
        """
        self._exporter.traces.clear()
        raised: BaseException | None = None
        trace_id = ""
        try:
            with mlflow.start_span(name=_name(function), span_type=SpanType.CHAIN) as root:
                trace_id = root.trace_id
                root.set_inputs(inputs)
                root.set_outputs(_result(function, inputs))
        except BaseException as error:  # noqa: BLE001 - whatever the application raises is its row's failure
            raised = error
        trace = json.loads(self._exporter.traces.pop(trace_id).to_json())
        return trace_id, json.dumps(_without_wrapper(trace)), raised


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _result(function: Callable[..., Any], inputs: dict[str, Any]) -> Any:
    try:
        value = function(**inputs)
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        return list(value) if inspect.isgenerator(value) else value
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        # MLflow marks a span failed for an Exception only.
        raise RuntimeError(f"the application raised {type(error).__name__}({error})") from error


def _without_wrapper(trace: dict[str, Any]) -> dict[str, Any]:
    """Take the outer span off where the function is traced itself: its trace then looks as it does in production."""
    spans = [span for span in trace["data"]["spans"] if span.get("end_time_unix_nano")]
    trace["data"]["spans"] = spans
    roots = [span for span in spans if not span.get("parent_span_id")]
    children = [span for span in spans if roots and span.get("parent_span_id") == roots[0]["span_id"]]
    if len(roots) != 1 or len(children) != 1:
        return trace
    root, child = roots[0], children[0]
    same = all(
        root["attributes"].get(key) == child["attributes"].get(key)
        for key in ("mlflow.spanInputs", "mlflow.spanOutputs")
    )
    if same and root["status"]["code"] == child["status"]["code"]:
        spans.remove(root)
        child["parent_span_id"] = None
        trace["info"].setdefault("tags", {})[_NAME_TAG] = child["name"]
    return trace
