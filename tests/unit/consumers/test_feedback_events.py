"""`feedback+json`: what a person says of a request, and what is no such event."""

from typing import Any

import pytest

from consumers.decoding import REASONS, decode
from consumers.errors import InvalidEvent
from consumers.events import FeedbackEvent, mlflow_trace_id
from consumers.settings import DecodingLimits

NOW_MS = 1_700_000_100_000
LIMITS = DecodingLimits()
JSON = (("content-type", b"feedback+json"),)


def feedback(**changes: Any) -> dict[str, Any]:
    """A complete event; a change to `...` leaves the field out."""
    fields = {
        "trace_id": "order-17",
        "name": "concise",
        "value": "no",
        "rationale": "Three pages.",
        "expectation": {"expected_response": "In Graz."},
        "user": "ann",
        "timestamp_ms": 1_700_000_000_000,
    } | changes
    return {key: value for key, value in fields.items() if value is not ...}


def decoded(make_message: Any, **changes: Any) -> FeedbackEvent:
    event = decode(make_message(feedback(**changes), headers=JSON), "tracewatch+json", LIMITS, NOW_MS)
    assert isinstance(event, FeedbackEvent)
    return event


def test_a_whole_event_is_decoded(make_message):
    """Every field arrives, under the MLflow id of the trace that it is about."""
    event = decoded(make_message)
    assert (event.source_id, event.trace_id) == ("order-17", mlflow_trace_id("order-17"))
    assert (event.name, event.value, event.rationale, event.user) == ("concise", "no", "Three pages.", "ann")
    assert event.expectations == {"expected_response": "In Graz."}
    assert (event.timestamp_ms, event.evaluation) == (1_700_000_000_000, False)


def test_trace_name_and_value_are_enough(make_message):
    """The time is then the record's own."""
    event = decoded(make_message, rationale=..., expectation=..., user=..., timestamp_ms=...)
    assert (event.rationale, event.expectations, event.user) == (None, {}, None)
    assert event.timestamp_ms == 1_700_000_000_500


@pytest.mark.parametrize("value", [True, False, 0, 5, 3.5, "yes", ""], ids=repr)
def test_a_value_is_a_truth_a_number_or_a_text(make_message, value):
    """And stays what it was: 1 does not become true."""
    event = decoded(make_message, value=value)
    assert event.value == value
    assert type(event.value) is type(value)


@pytest.mark.parametrize(
    ("expectation", "expected"),
    [
        ("In Graz.", {"expected_response": "In Graz."}),
        (["Graz", "17"], {"expected_response": ["Graz", "17"]}),
        ({"expected_facts": ["Graz"], "tone": None}, {"expected_facts": ["Graz"]}),
        (None, {}),
        ({}, {}),
    ],
    ids=repr,
)
def test_an_expectation_is_the_right_answer_or_several_by_name(make_message, expectation, expected):
    """What is no object is the expected response; what is null says nothing."""
    assert decoded(make_message, expectation=expectation).expectations == expected


def test_the_source_s_format_serves_messages_without_a_content_type(make_message):
    """A topic of feedback alone needs no headers."""
    event = decode(make_message(feedback()), "feedback+json", LIMITS, NOW_MS)
    assert isinstance(event, FeedbackEvent)


def test_feedback_of_an_evaluation_is_marked(make_message):
    """By header, as traces are."""
    headers = (*JSON, ("tracewatch-evaluation", b"run"))
    event = decode(make_message(feedback(), headers=headers), "tracewatch+json", LIMITS, NOW_MS)
    assert isinstance(event, FeedbackEvent)
    assert event.evaluation


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trace_id": ...}, "missing_field"),
        ({"trace_id": " "}, "missing_field"),
        ({"trace_id": 17}, "wrong_type"),
        ({"trace_id": "x" * 257}, "trace_id_too_long"),
        ({"trace_id": "a\0b"}, "bad_text"),
        ({"name": ...}, "missing_field"),
        ({"name": ""}, "missing_field"),
        ({"name": "x" * 251}, "too_large"),
        ({"name": "a\0b"}, "bad_text"),
        ({"name": None}, "wrong_type"),
        ({"value": ...}, "missing_field"),
        ({"value": None}, "wrong_type"),
        ({"value": ["yes"]}, "wrong_type"),
        ({"value": {"stars": 5}}, "wrong_type"),
        ({"value": "a\0b"}, "bad_text"),
        ({"rationale": 5}, "wrong_type"),
        ({"rationale": "a\0b"}, "bad_text"),
        ({"user": "x" * 251}, "too_large"),
        ({"user": ["ann"]}, "wrong_type"),
        ({"expectation": {"": 1}}, "missing_field"),
        ({"expectation": {"x" * 251: 1}}, "too_large"),
        ({"timestamp_ms": -1}, "wrong_type"),
        ({"timestamp_ms": "now"}, "wrong_type"),
        ({"timestamp_ms": NOW_MS + 3_600_000}, "future_timestamp"),
    ],
    ids=str,
)
def test_what_is_no_feedback_is_refused_with_its_reason(make_message, changes, reason):
    """Each fault has the reason that it has in a trace event."""
    with pytest.raises(InvalidEvent) as caught:
        decoded(make_message, **changes)
    assert caught.value.reason == reason
    assert reason in REASONS
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"yes", "not_json"),
        (b"[]", "wrong_type"),
        (b'{"trace_id": "a", "name": "n", "value": NaN}', "not_finite"),
        (b'{"trace_id": "a", "name": "n", "value": 1e999}', "not_finite"),
        (b'{"trace_id": "a", "name": "n", "value": "\xff"}', "not_utf8"),
        (b'{"trace_id": "a", "name": "n", "value": 1, "expectation": "\\ud800"}', "not_json"),
        (b'{"trace_id": "a", "name": "n", "value": 1, "expectation": ' + b"[" * 100 + b"]" * 100 + b"}", "too_deep"),
    ],
    ids=str,
)
def test_bytes_that_are_no_feedback_are_refused(make_message, value, reason):
    """The checks of all formats hold here too."""
    with pytest.raises(InvalidEvent) as caught:
        decode(make_message(value, headers=JSON), "tracewatch+json", LIMITS, NOW_MS)
    assert caught.value.reason == reason
