"""From traces to rows."""

import pytest
from mlflow.entities import AssessmentSource, Expectation
from pydantic import ValidationError
from sample_traces import sample_feedback, sample_trace

from monitor.dataset.records import (
    Row,
    canonical,
    content_digest,
    inputs_digest,
    member_from_trace,
    priority_of,
    segment_label,
)
from monitor.dataset.settings import DatasetSettings


def _member(trace, **changes):
    return member_from_trace(trace, **{"dataset": "d", "segment": "all", "probability": 0.5, "golden": False} | changes)


def test_a_member_carries_what_the_root_span_was_asked_and_answered():
    """Inputs, outputs and time are the trace's; MLflow's own tags are not the row's."""
    member = _member(sample_trace("hello", tags={"lang": "de"}))
    assert (member.inputs, member.outputs) == ({"question": "hello"}, {"answer": "yes"})
    assert member.tags == {"tracewatch.source_id": "hello", "lang": "de"}
    assert member.event_time_ms == 1_764_000_000_000


def test_the_latest_valid_expectation_of_a_name_is_the_rows():
    """Feedback is no expectation, and what a person took back is none either."""
    source = AssessmentSource(source_type="HUMAN", source_id="ann")

    def expected(value, at, valid=True):
        assessment = Expectation(name="fact", value=value, source=source)
        assessment.create_time_ms, assessment.valid = at, valid
        return assessment

    trace = sample_trace()
    trace.info.assessments = [
        expected("new", 3),
        expected("old", 1),
        expected("wrong", 5, False),
        sample_feedback(trace),
    ]
    assert _member(trace).expectations == {"fact": "new"}


def test_inputs_that_are_no_object_are_wrapped_and_a_trace_without_inputs_offers_nothing():
    """An evaluation calls with keyword arguments, so it needs an object."""
    assert _member(sample_trace(inputs=["a", 1])).inputs == {"inputs": ["a", 1]}
    empty = sample_trace()
    empty.data.spans.clear()
    assert _member(empty) is None


def test_equal_inputs_have_equal_digests_and_others_do_not():
    """Key order is no difference; type and nesting are."""
    assert inputs_digest({"a": 1, "b": {"c": 2, "d": 3}}) == inputs_digest({"b": {"d": 3, "c": 2}, "a": 1})
    values = [{"a": 1}, {"a": "1"}, {"a": True}, {"a": [1]}, {"a": None}, {}, {"a": 1.5}]
    assert len({inputs_digest(value) for value in values}) == len(values)


def test_nan_has_no_canonical_form():
    """NaN is no JSON value."""
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})


def test_the_content_digest_knows_content_only():
    """Record ids, traces, tags and order make no difference; inputs, expectations and repetition do."""
    rows = [Row(record_id=str(n), inputs={"q": n}, expectations={}, trace_id=None, tags={}) for n in range(3)]
    same = [Row(record_id="x", inputs={"q": n}, expectations={}, trace_id="t", tags={"a": "b"}) for n in (2, 0, 1)]
    assert content_digest(rows) == content_digest(same)
    assert content_digest(rows) != content_digest(rows[:2])
    assert content_digest(rows) != content_digest([*rows, rows[0]])


def test_a_row_that_was_less_likely_to_be_seen_has_priority():
    """The key is w/u: half the probability, twice the key; it depends on the inputs and not on the trace."""
    digest = inputs_digest({"q": 1})
    assert priority_of(digest, 0.25) == pytest.approx(2 * priority_of(digest, 0.5))
    assert priority_of(digest, 1) >= 1
    assert _member(sample_trace("a", {"q": 1})).priority == _member(sample_trace("b", {"q": 1})).priority


def test_a_segment_label_names_the_quota_keys():
    """Rows without the value share a segment of their own; without keys all rows share one."""
    assert segment_label({"app_version": "v1", "lang": "de"}, ("lang", "app_version")) == "lang=de,app_version=v1"
    assert segment_label({}, ("lang",)) == "lang="
    assert segment_label({"lang": "de"}, ()) == "all"


def test_golden_needs_every_tag_that_is_configured():
    """Without configured tags nothing is golden."""
    settings = DatasetSettings(name="d", golden={"golden": "yes", "by": "ann"})
    assert settings.is_golden({"golden": "yes", "by": "ann", "x": "y"})
    assert not settings.is_golden({"golden": "yes"})
    assert not DatasetSettings(name="d").is_golden({})


@pytest.mark.parametrize("wrong", [{"max_rows": 0}, {"rate": 1.5}, {"name": "o'hara"}, {"rows": 5}])
def test_settings_outside_their_bounds_are_refused(wrong):
    """A bad value is a configuration error, not a surprise at run time."""
    with pytest.raises(ValidationError):
        DatasetSettings(**{"name": "d"} | wrong)
