"""Rows to put into a ledger, of which a test names only what matters to it."""

from dataclasses import replace
from typing import Any

from monitor.ledger import AlertRow, DecisionRow, DeliveryRow, MemberRow, TraceRow, VerdictRow


def trace(**given: Any) -> TraceRow:
    """A trace at offset 0 of the topic's partition 0."""
    row = TraceRow(
        trace_id="tr-1",
        source_id="source-1",
        topic="traces",
        partition=0,
        offset=0,
        event_time_ms=1_000,
        name="answer",
        app_version="v1",
        session_id=None,
        status="OK",
        inputs_digest="d1",
        segments={"app_version": "v1"},
    )
    return replace(row, **given)


def decision(subject: str = "safety", **given: Any) -> DecisionRow:
    """A kept decision that is due."""
    row = DecisionRow(subject=subject, kept=True, probability=0.25, reason="rate", state="due")
    return replace(row, **given)


def verdict(**given: Any) -> VerdictRow:
    """A pass."""
    row = VerdictRow(
        trace_id="tr-1",
        scorer="safety",
        scorer_version="0123456789ab",
        assessment_id="a-1",
        label="pass",
        value=1.0,
        feedback={"value": "yes", "nested": {"a": [1, None, "é"]}},
        rationale="It is fine.",
        error=None,
        probability=0.25,
        reason="rate",
        segments={"app_version": "v1"},
        app_version="v1",
        session_id="s",
        event_time_ms=1_000,
        topic="traces",
        partition=0,
        offset=0,
        judged_at_ms=2_000,
        duration_s=0.1,
    )
    return replace(row, **given)


def member(**given: Any) -> MemberRow:
    """An ordinary dataset row."""
    row = MemberRow(
        dataset="production",
        inputs_digest="d1",
        trace_id="tr-1",
        segment="all",
        priority=1.5,
        probability=0.1,
        golden=False,
        inputs={"question": "why?"},
        outputs="because",
        expectations={},
        tags={"tenant": "a"},
        event_time_ms=1_000,
    )
    return replace(row, **given)


def delivery(**given: Any) -> DeliveryRow:
    """What the receiver `ops` is owed of that alert."""
    row = DeliveryRow(
        alert_id="1", receiver="ops", transition="fired", severity="page", created_ms=1, next_attempt_ms=1
    )
    return replace(row, **given)


def alert(**given: Any) -> AlertRow:
    """A pending alert."""
    row = AlertRow(
        id="1", kind="production", scorer="safety", segment="all", state="pending", severity="page", since_ms=1
    )
    return replace(row, **given)
