"""What is blacked out, and what is not."""

import json
import time

import pytest
from mlflow.entities import AssessmentSource, Expectation, Span, Trace
from pydantic import ValidationError
from sample_traces import sample_feedback, sample_trace

from monitor.traces.redaction import OwnPattern, Redaction, RedactionSettings

ALL = Redaction(RedactionSettings(patterns=("email", "phone", "key")))


@pytest.mark.parametrize(
    "text",
    ["bob@example.com", "mailto:bob.o'neil+x@mail.example.co.uk", "Ümläut@exämple.de", "a@b.cd", "x\nbob@example.com"],
)
def test_email_addresses_are_blacked_out(text):
    """The domain never remains."""
    assert "@" not in ALL.text(text)
    assert "[email]" in ALL.text(text)


@pytest.mark.parametrize(
    "number",
    [
        "+49 30 1234567",
        "+1 (212) 555-0123",
        "+4915112345678",
        "0049 151 234 567 89",
        "030/1234567",
        "(0151) 23456789",
        "01512345678",
        "212-555-0123",
        "(212) 555-0123",
        "212.555.0123",
    ],
)
def test_phone_numbers_are_blacked_out(number):
    """International, national and North American writing."""
    assert ALL.text(f"call {number}, please") == "call [phone], please"


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23",
        "01-02-2026",
        "2026-11-23T22:30:54.123Z",
        "1764000000000",
        "order 20261123456",
        "4.30 EUR, 1,000,000 pieces",
        "192.168.100.200",
        "tr-0123456789abcdef0123456789abcdef",
        "550e8400-e29b-41d4-a716-446655440000",
        "pages 100-200",
        "0.0012345678",
        "@mention and a@b",
        "sk-short",
        "risk-averse-management-practices-matter",
        "task-0123456789012345678",
    ],
)
def test_dates_ids_and_amounts_stay(text):
    """What only looks like a number to call is left to be judged."""
    assert ALL.text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijklmnop1234",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "xoxb-123456789012-abcdef",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "Bearer abcdefghijklmnopqrstuvwxyz",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_keys_are_blacked_out(key):
    """Keys of the usual issuers, tokens and private keys go whole."""
    assert ALL.text(f"with {key} it works") == "with [key] it works"


def test_own_patterns_take_their_name():
    """What an operator's expression matches becomes the name in brackets."""
    settings = RedactionSettings(patterns=(OwnPattern(name="customer", regex=r"C-\d{6}"),))
    assert Redaction(settings).value({"id": ["C-123456", 5, None]}) == {"id": ["[customer]", 5, None]}


@pytest.mark.parametrize("regex", ["(", "a*", ""])
def test_an_expression_that_cannot_be_meant_is_refused(regex):
    """One that does not compile, or matches the empty text, is a configuration error."""
    with pytest.raises(ValidationError):
        OwnPattern(name="own", regex=regex)


def test_an_unknown_pattern_is_refused():
    """A misspelt name is not silently without effect."""
    with pytest.raises(ValidationError):
        RedactionSettings(patterns=("emails",))


def test_two_addresses_as_keys_stay_two_entries():
    """Keys are texts too, and no entry is lost."""
    assert ALL.value({"a@example.com": 1, "b@example.com": 2}) == {"[email]": 1, "[email] 2": 2}


@pytest.mark.parametrize(
    "text", ["a" * 200_000, "a." * 100_000, "0" * 200_000, "+1 " * 70_000, "a@" * 100_000, "sk-" * 70_000]
)
def test_hostile_texts_take_no_longer_than_their_length(text):
    """A megabyte that almost matches does not stop the pipeline."""
    started = time.monotonic()
    ALL.text(text)
    assert time.monotonic() - started < 2


def test_nothing_of_a_trace_keeps_what_is_blacked_out():
    """Inputs, outputs, attributes, previews, tags, names, documents and assessments: no address is left anywhere."""
    secret = "mallory@example.com"
    source = AssessmentSource(source_type="HUMAN", source_id="ann")
    expected = [
        Expectation(name="who", value={"mail": secret}, source=source),
        Expectation(name="list", value=[secret], source=source),
        Expectation(name="text", value=secret, source=source),
    ]
    trace = sample_trace(inputs={"q": f"a\n{secret}", secret: 1}, outputs=[secret], tags={"mail": secret})
    trace.info.assessments = [*expected, sample_feedback(trace, rationale=f"names {secret}")]
    trace.info.trace_metadata["mlflow.trace.user"] = secret
    document = json.loads(trace.to_json())
    root = document["data"]["spans"][0]
    root["attributes"]["custom"] = json.dumps({"deep": [secret]})
    root["events"] = [
        {"name": "exception", "time_unix_nano": 1, "attributes": {"exception.message": f"no {secret}", "count": 3}}
    ]
    root["status"] = {"code": "STATUS_CODE_ERROR", "message": secret}
    redacted = ALL.trace(Trace.from_dict(document))
    text = redacted.to_json()
    assert "mallory" not in text
    assert text.count("[email]") >= 12
    assert redacted.data.spans[0].inputs == {"q": "a\n[email]", "[email]": 1}
    assert [each.value for each in redacted.info.assessments][:3] == [{"mail": "[email]"}, ["[email]"], "[email]"]


def test_ids_and_times_of_a_trace_stay():
    """A redacted trace is stored, found and grouped as the original would be."""
    trace = sample_trace("bob@example.com")
    redacted = ALL.trace(trace)
    assert redacted.info.tags["tracewatch.source_id"] == "bob@example.com"
    assert redacted.info.trace_metadata == trace.info.trace_metadata
    assert (redacted.info.trace_id, redacted.info.request_time) == (trace.info.trace_id, trace.info.request_time)
    assert [span.span_id for span in redacted.data.spans] == [span.span_id for span in trace.data.spans]
    assert [span.start_time_ns for span in redacted.data.spans] == [span.start_time_ns for span in trace.data.spans]
    assert redacted.info.execution_duration == trace.info.execution_duration


def test_a_trace_without_anything_to_black_out_is_equal_afterwards():
    """Redaction changes what it matches and nothing else."""
    trace = sample_trace(inputs={"n": 1.5, "list": [True, None, "x"]})
    trace.info.assessments = [sample_feedback(trace)]
    assert json.loads(ALL.trace(trace).to_json()) == json.loads(trace.to_json())


def test_without_patterns_the_trace_itself_comes_back():
    """No configuration costs nothing."""
    trace = sample_trace()
    nothing = Redaction(RedactionSettings())
    assert nothing.trace(trace) is trace
    assert not nothing


def _trace_of(session, user="anna@example.com"):
    trace = sample_trace(name="order-4711 of anna@example.com", inputs={"q": "what?"})
    trace.info.trace_metadata["mlflow.trace.session"] = session
    trace.info.trace_metadata["mlflow.trace.user"] = user
    return trace


def test_ids_that_name_a_person_are_hashed_everywhere_alike():
    """One id has one hash in tags, metadata and the ledger, so that sessions still group; nobody reads it."""
    redaction = Redaction(RedactionSettings(ids="hash", ids_key="a key of ours"))
    assert redaction
    one, two, other = (
        redaction.trace(_trace_of(session)) for session in ("anna@example.com", "anna@example.com", "bob")
    )
    sessions = [each.info.trace_metadata["mlflow.trace.session"] for each in (one, two, other)]
    assert sessions[0] == sessions[1] == redaction.identifier("anna@example.com")
    assert sessions[2] != sessions[0]
    assert one.info.trace_metadata["mlflow.trace.user"] == sessions[0]
    assert one.info.tags["tracewatch.source_id"] == redaction.identifier("order-4711 of anna@example.com")
    assert one.info.client_request_id == one.info.tags["tracewatch.source_id"]
    assert "anna@" not in str(one.info.to_dict())
    assert one.info.trace_id == _trace_of("x").info.trace_id


def test_an_id_in_a_span_s_attribute_has_the_hash_of_the_id_itself():
    """Attributes are JSON; the hash is not that of the quotation marks."""
    trace = _trace_of("s")
    span = trace.data.spans[0].to_dict()
    span["attributes"]["session.id"] = '"s"'
    trace.data.spans[0] = Span.from_dict(span)
    redaction = Redaction(RedactionSettings(ids="hash"))
    attributes = redaction.trace(trace).data.spans[0].to_dict()["attributes"]
    assert json.loads(attributes["session.id"]) == redaction.identifier("s")


def test_the_key_decides_the_hash_and_without_hashing_ids_stay():
    """Who knows an id but not the key cannot find its hash."""
    named = RedactionSettings(ids="hash", ids_key="one"), RedactionSettings(ids="hash", ids_key="two")
    assert len({Redaction(settings).identifier("anna") for settings in (*named, RedactionSettings(ids="hash"))}) == 3
    kept = Redaction(RedactionSettings(patterns=("phone",)))
    assert kept.identifier("anna") == "anna"
    assert kept.trace(_trace_of("anna")).info.trace_metadata["mlflow.trace.session"] == "anna"
