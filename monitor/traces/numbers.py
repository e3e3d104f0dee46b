"""Whole numbers that MLflow cannot store, put as text: its spans and expectations hold 64 bits. Pure."""

import copy
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from mlflow.entities import Assessment, Span, Trace
from mlflow.entities.assessment import ExpectationValue, FeedbackValue

_LEAST, _MOST = -(2**63), 2**63 - 1
_LONG_NUMBER: Final = re.compile(r"\d{19}")


def with_storable_numbers(trace: Trace) -> Trace:
    """The trace with every longer number of its spans and assessments as its digits; the same where there is none."""
    spans = [_span(each) for each in trace.data.spans]
    assessments = assessed_storably(trace.info.assessments)
    same = all(new is old for new, old in zip(spans, trace.data.spans, strict=True))
    if same and assessments is trace.info.assessments:
        return trace
    return Trace(info=replace(trace.info, assessments=list(assessments)), data=replace(trace.data, spans=spans))


def assessed_storably(assessments: Sequence[Assessment]) -> Sequence[Assessment]:
    """The assessments with longer numbers as their digits; the same where there are none."""
    storable = [_assessment(each) for each in assessments]
    same = all(new is old for new, old in zip(storable, assessments, strict=True))
    return assessments if same else storable


def _span(span: Span) -> Span:
    written = span.to_dict()
    # Each attribute is JSON in a text; texts inside of it are the application's own, and stay.
    attributes = {name: _storable_json(text) for name, text in written["attributes"].items()}
    return span if attributes == written["attributes"] else Span.from_dict({**written, "attributes": attributes})


def _assessment(assessment: Assessment) -> Assessment:
    expected, said = assessment.expectation, assessment.feedback
    value = expected.value if expected is not None else said.value if said is not None else None
    storable = _storable(value)
    if storable == value:
        return assessment
    copied = copy.copy(assessment)
    if expected is not None:
        copied.expectation = ExpectationValue(value=storable)
    elif said is not None:
        copied.feedback = FeedbackValue(value=storable, error=said.error)
    return copied


def _storable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _storable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and not _LEAST <= value <= _MOST:
        return str(value)
    return value


def _storable_json(text: Any) -> Any:
    if not isinstance(text, str) or not _LONG_NUMBER.search(text):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    storable = _storable(value)
    return text if storable == value else json.dumps(storable)
