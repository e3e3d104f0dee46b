"""How a trace of any origin becomes one that can be stored again and again: pure functions on MLflow's entities."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace

from mlflow.entities import Assessment, TraceInfo, TraceLocation

from monitor.traces.errors import TraceRejected

# A store writes these itself; those of the store that a trace came from would point the new one astray.
_OF_THE_STORE = frozenset({"mlflow.artifactLocation", "mlflow.trace.spansLocation"})
_VARYING = frozenset({"create_time", "last_update_time", "trace_id"})
_METADATA_OF_THE_STORE = frozenset({"mlflow.trace.infoFinalized"})


def at_home(info: TraceInfo, experiment_id: str, assessments: Sequence[Assessment] = ()) -> TraceInfo:
    """The trace's info in an experiment, with all its assessments, each of which has an id."""
    return replace(
        info,
        trace_location=TraceLocation.from_experiment_id(experiment_id),
        tags={key: value for key, value in info.tags.items() if key not in _OF_THE_STORE},
        trace_metadata={key: value for key, value in info.trace_metadata.items() if key not in _METADATA_OF_THE_STORE},
        assessments=[*identified(info.trace_id, info.assessments), *with_ids(info.trace_id, assessments)],
    )


def bare(info: TraceInfo, assessments: Sequence[Assessment]) -> TraceInfo:
    """Only what an upsert would otherwise blank: it changes nothing of the trace but adds the assessments."""
    return replace(
        info,
        request_preview=None,
        response_preview=None,
        tags={},
        trace_metadata={},
        assessments=with_ids(info.trace_id, assessments),
    )


def identified(trace_id: str, assessments: Iterable[Assessment]) -> list[Assessment]:
    """Assessments that came with a trace; one without an id gets the same id whenever that trace comes."""
    seen: Counter[str] = Counter()
    result = []
    for assessment in assessments:
        named = copy(assessment)
        named.trace_id = trace_id
        if named.assessment_id is None:
            content = json.dumps(_content(assessment), sort_keys=True, default=str)
            seen[content] += 1
            named.assessment_id = assessment_id(trace_id, content, str(seen[content]))
        result.append(named)
    return result


def with_ids(trace_id: str, assessments: Iterable[Assessment]) -> list[Assessment]:
    """The monitor's own assessments, as those of this trace.

    Raises:
        TraceRejected: one has no id, so that putting it twice would double it.
    """
    result = []
    for assessment in assessments:
        if assessment.assessment_id is None:
            raise TraceRejected(f"the assessment {assessment.name!r} of {trace_id} has no id")
        named = copy(assessment)
        named.trace_id = trace_id
        result.append(named)
    return result


def not_overridden(assessments: Sequence[Assessment], stored: Mapping[str, Assessment]) -> list[Assessment]:
    """Those that no person has overridden in the store; `stored` is by assessment id."""
    return [
        assessment
        for assessment in assessments
        if (there := stored.get(assessment.assessment_id or "")) is None or there.valid is not False
    ]


def assessment_id(*parts: str) -> str:
    """`a-` and 32 hex digits of the parts' hash; MLflow's limit is 50 characters."""
    return "a-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _content(assessment: Assessment) -> dict[str, object]:
    content: dict[str, object] = assessment.to_dictionary()  # type: ignore[no-untyped-call]
    return {key: value for key, value in content.items() if key not in _VARYING}
