"""Everything that is no event is refused with its own reason."""

import json

import pytest

from consumers.decoding import FORMATS, NAMED_FORMATS, REASONS, decode
from consumers.errors import InvalidEvent
from consumers.settings import DecodingLimits

NOW_MS = 1_700_000_100_000
LIMITS = DecodingLimits()


def _refusal(message, default_format="tracewatch+json", limits=LIMITS):
    with pytest.raises(InvalidEvent) as caught:
        decode(message, default_format, limits, NOW_MS)
    assert caught.value.reason in REASONS
    assert len(caught.value.detail) < 400
    return caught.value.reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(None, "empty", id="tombstone"),
        pytest.param(b"", "empty", id="no bytes"),
        pytest.param(b"hello", "not_json", id="prose"),
        pytest.param(b'{"trace_id": "a", "inputs": {}, "outputs": 1', "not_json", id="cut off"),
        pytest.param(b'{"trace_id": "a", "inputs": {"x" 1}, "outputs": 1}', "not_json", id="broken inside inputs"),
        pytest.param(b'{"trace_id": "a", "inputs": {}, "outputs": "\\ud800 x"}', "not_json", id="half a character"),
        pytest.param(b'{"trace_id": "a", "inputs": {}, "outputs": 1} {}', "not_json", id="two documents"),
        pytest.param(b'{"trace_id": "\xff", "inputs": {}, "outputs": 1}', "not_utf8", id="latin-1 id"),
        pytest.param(b'{"trace_id": "a", "inputs": {"x": "\xff"}, "outputs": 1}', "not_utf8", id="latin-1 inputs"),
        pytest.param(b'{"trace_id": "a", "inputs": {"x": NaN}, "outputs": 1}', "not_finite", id="NaN"),
        pytest.param(b'{"trace_id": "a", "inputs": {}, "outputs": -Infinity}', "not_finite", id="Infinity"),
        pytest.param(b'{"trace_id": "a", "inputs": {"x": 1e999}, "outputs": 1}', "not_finite", id="overflow"),
        pytest.param(b"[]", "wrong_type", id="an array"),
        pytest.param(b'"text"', "wrong_type", id="a string"),
        pytest.param(b"null", "wrong_type", id="null"),
    ],
)
def test_a_value_that_is_no_json_object_is_refused(value, reason, make_message):
    """Bytes that are no JSON object are refused, wherever in the document the fault lies."""
    assert _refusal(make_message(value)) == reason


@pytest.mark.parametrize("field", ["trace_id", "inputs", "outputs"])
def test_a_required_field_that_is_missing_is_named(field, make_message, make_event):
    """trace_id, inputs and outputs are required, and the detail names the missing one."""
    with pytest.raises(InvalidEvent, match=field) as caught:
        decode(make_message(make_event(**{field: ...})), "tracewatch+json", LIMITS, NOW_MS)
    assert caught.value.reason == "missing_field"


@pytest.mark.parametrize(
    "changes",
    [
        {"trace_id": 17},
        {"trace_id": None},
        {"inputs": "text"},
        {"inputs": None},
        {"timestamp_ms": "yesterday"},
        {"timestamp_ms": -1},
        {"duration_ms": -5},
        {"duration_ms": 1e300},
        {"status": "FINE"},
        {"retrieved": "text"},
        {"retrieved": [{"doc_uri": "x"}]},
        {"tags": {"a": 1}},
        {"tags": ["a"]},
        {"app_version": 2},
        {"expectations": [1]},
    ],
    ids=str,
)
def test_a_field_of_the_wrong_type_is_refused(changes, make_message, make_event):
    """A field that is there must be what the format says."""
    assert _refusal(make_message(make_event(**changes))) in {"wrong_type", "missing_field"}


@pytest.mark.parametrize("trace_id", ["", "   "])
def test_an_empty_trace_id_counts_as_missing(trace_id, make_message, make_event):
    """An id of nothing identifies nothing."""
    assert _refusal(make_message(make_event(trace_id=trace_id))) == "missing_field"


def test_a_trace_id_over_the_limit_is_refused(make_message, make_event):
    """Exactly the allowed length passes, one more does not."""
    assert decode(make_message(make_event(trace_id="x" * 256)), "tracewatch+json", LIMITS, NOW_MS)
    assert _refusal(make_message(make_event(trace_id="x" * 257))) == "trace_id_too_long"


@pytest.mark.parametrize("field", ["trace_id", "name", "app_version", "session_id"])
def test_a_nul_character_in_a_short_field_is_refused(field, make_message, make_event):
    """PostgreSQL cannot store NUL, so that an event with one would stop the partition later."""
    assert _refusal(make_message(make_event(**{field: "a\0b"}))) == "bad_text"


def test_a_tag_key_that_mlflow_cannot_store_is_refused(make_message, make_event):
    """MLflow allows tag keys of 250 characters."""
    assert _refusal(make_message(make_event(tags={"k" * 251: "v"}))) == "too_large"


def test_a_timestamp_in_the_future_is_refused(make_message, make_event):
    """Ten minutes ahead of the clock are allowed, a millisecond more is not."""
    ahead = NOW_MS + 600_000
    assert decode(make_message(make_event(timestamp_ms=ahead)), "tracewatch+json", LIMITS, NOW_MS)
    assert _refusal(make_message(make_event(timestamp_ms=ahead + 1))) == "future_timestamp"
    assert _refusal(make_message(make_event(timestamp_ms=10**17))) == "future_timestamp"


def test_an_event_over_the_size_limit_is_refused(make_message, make_event):
    """The limit is on the bytes of the value."""
    value = json.dumps(make_event()).encode()
    exact = DecodingLimits(event_bytes=len(value))
    assert decode(make_message(value), "tracewatch+json", exact, NOW_MS)
    assert _refusal(make_message(value + b" "), limits=exact) == "too_large"


def test_nesting_over_the_limit_is_refused_and_brackets_in_text_do_not_count(make_message, make_event):
    """Depth is counted in arrays and objects, the document itself being the first."""

    def nested(levels):
        text = json.dumps(make_event(inputs={"x": "HERE"})).replace('"HERE"', "[" * levels + "]" * levels)
        return make_message(text.encode())

    assert decode(nested(62), "tracewatch+json", LIMITS, NOW_MS)
    assert _refusal(nested(63)) == "too_deep"
    assert _refusal(nested(200_000)) == "too_deep"
    assert decode(make_message(make_event(inputs={"x": '"[{\\' * 500})), "tracewatch+json", LIMITS, NOW_MS)


@pytest.mark.parametrize("name", sorted(set(NAMED_FORMATS) - set(FORMATS)))
def test_a_format_that_is_known_by_name_only_is_refused(name, make_message, make_event):
    """A message that says it is of a format that is not decoded is not taken for another."""
    headers = (("Content-Type", name.encode()),)
    assert _refusal(make_message(make_event(), headers=headers)) == "unknown_format"
    assert _refusal(make_message(make_event()), default_format=name) == "unknown_format"


def test_a_content_type_of_no_format_of_ours_falls_back(make_message, make_event):
    """Many producers write application/json on everything."""
    headers = (("content-type", b"application/json"),)
    event = decode(make_message(make_event(), headers=headers), "tracewatch+json", LIMITS, NOW_MS)
    assert event.source_id == "order-17"


def test_a_content_type_of_a_format_of_ours_wins(make_message, make_event):
    """The message knows better than the source's default."""
    headers = (("content-type", b"tracewatch+json"),)
    assert decode(make_message(make_event(), headers=headers), "mlflow+json", LIMITS, NOW_MS).name == "sales_email"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{}", "missing_field"),
        (b'{"info": {"trace_id": "a", "request_time": "2026-01-01T00:00:00Z", "state": "OK"}}', "missing_field"),
        (
            b'{"info": {"trace_id": "a", "request_time": "2026-01-01T00:00Z", "state": "OK"}, "data": {"spans": []}}',
            "invalid_trace",
        ),
        (b'{"info": {"trace_id": "a", "request_time": 5, "state": "OK"}, "data": {"spans": []}}', "wrong_type"),
    ],
)
def test_a_trace_that_mlflow_did_not_write_is_refused(value, reason, make_message):
    """mlflow+json is checked as strictly."""
    assert _refusal(make_message(value), default_format="mlflow+json") == reason
