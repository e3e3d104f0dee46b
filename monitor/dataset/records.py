"""Records of the evaluation dataset: pure functions from traces to rows and digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlflow.entities import Trace

SOURCE_ID_TAG = "tracewatch.source_id"


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One row of a dataset, as the ledger knows it: the first trace of an inputs digest owns it.

    `segment` is a quota label; the row with the larger `priority` stays. `record_id` is MLflow's, None while unknown.
    """

    dataset: str
    inputs_digest: str
    trace_id: str
    segment: str
    priority: float
    probability: float
    golden: bool
    inputs: Any
    outputs: Any
    expectations: Mapping[str, Any]
    tags: Mapping[str, str]
    event_time_ms: int
    state: Literal["active", "evicted"] = "active"
    record_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One record as an evaluation reads it; `trace_id` is None for one that a person has added."""

    record_id: str
    inputs: Mapping[str, Any]
    expectations: Mapping[str, Any]
    trace_id: str | None
    tags: Mapping[str, str]


def canonical(value: Any) -> str:
    """The JSON text that equal values share: sorted keys, no spaces, ASCII.

    Raises:
        ValueError: the value holds NaN or an infinity.
        TypeError: the value is no JSON value.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def inputs_digest(inputs: Any) -> str:
    """64 hex digits that identical inputs share."""
    return hashlib.sha256(canonical(inputs).encode()).hexdigest()


def content_digest(rows: Iterable[Row]) -> str:
    """64 hex digits of what is asked and expected: sha256 of the sorted canonical rows, whatever their ids."""
    lines = sorted(canonical({"inputs": row.inputs, "expectations": row.expectations}) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def priority_of(digest: str, probability: float) -> float:
    """The bottom-k key w/u of a row: w is 1 / inclusion probability, u in (0, 1] comes from the inputs' digest.

    Keeping the rows with the largest keys keeps a sample of all distinct inputs, in whatever order they came
    (priority sampling: Duffield, Lund, Thorup 2007).
    """
    number = int.from_bytes(hashlib.sha256(b"dataset\0" + digest.encode()).digest()[:8])
    uniform = ((number >> 11) + 1) / 2**53
    return 1 / (max(probability, 1e-9) * uniform)


def segment_label(segments: Mapping[str, str], quota_by: Sequence[str]) -> str:
    """`key=value,key=value` of the quota keys, `all` if there are none; a missing value is empty."""
    return ",".join(f"{key}={segments.get(key, '')}" for key in quota_by) or "all"


def inputs_of(trace: Trace) -> dict[str, Any] | None:
    """The root span's inputs as keyword arguments, or None; what is no object becomes `{"inputs": ...}`."""
    root = _root(trace)
    if root is None or root.inputs is None:
        return None
    return dict(root.inputs) if isinstance(root.inputs, Mapping) else {"inputs": root.inputs}


def outputs_of(trace: Trace) -> Any:
    """The root span's outputs."""
    root = _root(trace)
    return None if root is None else root.outputs


def expectations_of(trace: Trace) -> dict[str, Any]:
    """The trace's valid expectations by name, the latest of a name standing."""
    in_order = sorted(trace.info.assessments, key=lambda each: each.create_time_ms or 0)
    return {
        each.name: each.expectation.value
        for each in in_order
        if each.expectation is not None and each.valid is not False
    }


def member_from_trace(trace: Trace, *, dataset: str, segment: str, probability: float, golden: bool) -> Member | None:
    """The row that a trace offers to a dataset, None for a trace without inputs."""
    inputs = inputs_of(trace)
    if inputs is None:
        return None
    digest = inputs_digest(inputs)
    tags = {key: value for key, value in trace.info.tags.items() if not key.startswith("mlflow.")}
    return Member(
        dataset=dataset,
        inputs_digest=digest,
        trace_id=trace.info.trace_id,
        segment=segment,
        priority=priority_of(digest, probability),
        probability=probability,
        golden=golden,
        inputs=inputs,
        outputs=outputs_of(trace),
        expectations=expectations_of(trace),
        tags=tags,
        event_time_ms=trace.info.request_time,
    )


def _root(trace: Trace) -> Any:
    return next((span for span in trace.data.spans if span.parent_id is None), None)
