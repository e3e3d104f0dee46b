"""From what a person said to a label: of an event of the stream, and of an assessment made in MLflow. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mlflow.entities import (
    Assessment,
    AssessmentSource,
    AssessmentSourceType,
    Expectation,
    Feedback,
    TraceInfo,
)

from consumers.events import FeedbackEvent
from monitor.ledger.label_rows import LabelRow
from monitor.traces.redaction import Redaction
from monitor.traces.upsert import assessment_id
from scorers.values import ValueRules, to_verdict

FEEDBACK: Final = "feedback"
"""The reason of what feedback causes: no event is scored for it, and a trace is in the dataset by it."""

ANONYMOUS: Final = "tracewatch.feedback"
_NO_RULES: Final = ValueRules()

Rules = Mapping[str, ValueRules]
"""Scorer -> how its values are read; a label under its name is read the same way."""


def label_of_event(event: FeedbackEvent, rules: Rules, redaction: Redaction) -> LabelRow:
    """The label in an event, with the assessments that MLflow is to show of it.

    Their ids come of trace, name and user: what the same user says later takes the place of what they said before.
    """
    user = _user(event.user, redaction)
    name = redaction.text(event.name)
    feedback = Feedback(
        name=name,
        value=redaction.value(event.value),
        rationale=None if event.rationale is None else redaction.text(event.rationale),
        source=_human(user),
        trace_id=event.trace_id,
        create_time_ms=event.timestamp_ms,
        last_update_time_ms=event.timestamp_ms,
    )
    feedback.assessment_id = assessment_id(event.trace_id, FEEDBACK, name, redaction.identifier(event.user or ""))
    expectations = [
        _expectation(event, redaction.text(key), redaction.value(value), user)
        for key, value in event.expectations.items()
    ]
    return LabelRow(
        id=feedback.assessment_id,
        trace_id=event.trace_id,
        scorer=name,
        label=to_verdict(feedback, rules.get(event.name, _NO_RULES)).label,
        rationale=feedback.rationale,
        labelled_by=user,
        event_time_ms=event.timestamp_ms,
        labelled_at_ms=event.timestamp_ms,
        origin="stream",
        state="waiting",
        assessments=[each.to_dictionary() for each in (feedback, *expectations)],  # type: ignore[no-untyped-call]
    )


def assessments_of(labels: Iterable[LabelRow]) -> list[Assessment]:
    """The assessments that MLflow is to show of labels, the later ones last."""
    return [Assessment.from_dictionary(dict(each)) for label in labels for each in label.assessments]


def labels_in(info: TraceInfo, rules: Rules) -> list[LabelRow]:
    """What people have said in MLflow of a trace under a scorer's name, and have not taken back."""
    return [
        LabelRow(
            id=each.assessment_id or "",
            trace_id=info.trace_id,
            scorer=each.name,
            label=to_verdict(each, rules[each.name]).label,
            rationale=each.rationale,
            labelled_by=each.source.source_id,
            event_time_ms=info.request_time,
            labelled_at_ms=each.last_update_time_ms or each.create_time_ms or info.request_time,
            origin="mlflow",
            state="published",
        )
        for each in info.assessments
        if isinstance(each, Feedback) and each.name in rules and _is_a_person_s(each)
    ]


def _is_a_person_s(assessment: Assessment) -> bool:
    return assessment.source.source_type == AssessmentSourceType.HUMAN and assessment.valid is not False


def _user(user: str | None, redaction: Redaction) -> str | None:
    if user is None:
        return None
    hashed = redaction.identifier(user)
    return redaction.text(user) if hashed == user else hashed


def _human(user: str | None) -> AssessmentSource:
    return AssessmentSource(source_type=AssessmentSourceType.HUMAN, source_id=user or ANONYMOUS)


def _expectation(event: FeedbackEvent, name: str, value: object, user: str | None) -> Expectation:
    made = Expectation(
        name=name,
        value=value,
        source=_human(user),
        trace_id=event.trace_id,
        create_time_ms=event.timestamp_ms,
        last_update_time_ms=event.timestamp_ms,
    )
    made.assessment_id = assessment_id(event.trace_id, FEEDBACK, "expectation", name)
    return made
