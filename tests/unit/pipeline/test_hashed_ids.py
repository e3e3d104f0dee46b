"""Ids that are hashed in MLflow are hashed in the ledger as well, and alike."""

from dataclasses import replace

from consumers.decoding import decode
from consumers.settings import DecodingLimits
from monitor.traces.redaction import Redaction, RedactionSettings


def test_the_ledger_s_row_and_the_stored_trace_hold_the_same_hashes(stage):
    """Verdicts of a session still group, and lead to its traces; the id itself is in neither."""
    message = stage.event("order of anna@example.com", session_id="anna@example.com")
    event = decode(message, "tracewatch+json", DecodingLimits(), stage.clock.now_ms())
    redaction = Redaction(RedactionSettings(ids="hash", ids_key="key"))
    effects = replace(stage.effects(stage.open()), redaction=redaction)
    trace = redaction.trace(event.payload.trace())
    row = effects._row(event, trace)
    assert (
        row.session_id == trace.info.trace_metadata["mlflow.trace.session"] == redaction.identifier("anna@example.com")
    )
    assert row.source_id == trace.info.tags["tracewatch.source_id"]
    assert "anna" not in f"{row.source_id}{row.session_id}"
    assert row.trace_id == event.trace_id


def test_an_event_without_a_session_has_none(stage):
    """Nothing is not hashed to something."""
    event = decode(stage.event("one"), "tracewatch+json", DecodingLimits(), stage.clock.now_ms())
    effects = replace(stage.effects(stage.open()), redaction=Redaction(RedactionSettings(ids="hash")))
    assert effects._row(event, event.payload.trace()).session_id is None
