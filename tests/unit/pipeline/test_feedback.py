"""Feedback that comes with the stream: counted, kept, shown in MLflow, and a trace in the dataset."""

import json
from typing import Any

import pytest
from mlflow.entities import AssessmentSourceType

from consumers.events import EVALUATION_MARK, mlflow_trace_id
from monitor.dataset.settings import DatasetSettings
from monitor.ledger import LabelRow
from monitor.sampling import SamplingSettings
from monitor.traces.redaction import OwnPattern, Redaction, RedactionSettings
from tests.unit.pipeline.conftest import NOW_MS, Stage

ONE = mlflow_trace_id("one")


def say(stage: Stage, source_id: str = "one", *, headers: Any = (), **more: Any) -> None:
    """Put feedback into the stream."""
    document = {"trace_id": source_id, "name": "safe", "value": "no", "user": "ann", **more}
    stage.topic.append(
        json.dumps(document).encode(), timestamp_ms=NOW_MS, headers=(("content-type", b"feedback+json"), *headers)
    )


def labels(stage: Stage, source_id: str = "one") -> list[LabelRow]:
    return stage.open().labels.of(mlflow_trace_id(source_id))


def people_s(stage: Stage, source_id: str = "one") -> dict[str, Any]:
    """Name -> value of what people said, as MLflow shows it."""
    trace = stage.traces.get(mlflow_trace_id(source_id))
    return {
        each.name: (each.feedback or each.expectation).value
        for each in trace.info.assessments
        if each.source.source_type == AssessmentSourceType.HUMAN
    }


def test_feedback_is_a_label_and_an_assessment_and_no_scored_event(stage):
    """It is accounted for as sampled out for every scorer; the trace's own verdicts are what they were."""
    stage.event("one")
    stage.run()
    say(stage, rationale="It insults.", timestamp_ms=NOW_MS + 5)
    stage.run()
    [label] = labels(stage)
    assert (label.scorer, label.label, label.labelled_by, label.rationale) == ("safe", "fail", "ann", "It insults.")
    assert (label.origin, label.state, label.drawn, label.labelled_at_ms) == ("stream", "published", False, NOW_MS + 5)
    assert people_s(stage) == {"safe": "no"}
    assert [verdict.label for verdict in stage.open().intake.verdicts_of(ONE)] == ["pass", "pass"]
    assert stage.counts() == {
        (scorer, outcome): 1 for scorer in ("safe", "short") for outcome in ("scored", "sampled_out")
    }


def test_feedback_that_comes_again_or_anew_is_one_assessment(stage):
    """A redelivery doubles nothing, and who changes their mind has said one thing; another person another."""
    stage.event("one")
    stage.run()
    say(stage, timestamp_ms=NOW_MS)
    say(stage, timestamp_ms=NOW_MS)
    say(stage, timestamp_ms=NOW_MS + 2, value="yes")
    say(stage, timestamp_ms=NOW_MS + 1, value="no", rationale="late")
    say(stage, user="bob")
    stage.run()
    said = {label.labelled_by: (label.label, label.rationale) for label in labels(stage)}
    assert said == {"ann": ("pass", None), "bob": ("fail", None)}
    trace = stage.traces.get(ONE)
    by_people = [each for each in trace.info.assessments if each.source.source_type == AssessmentSourceType.HUMAN]
    assert sorted((each.source.source_id, each.value) for each in by_people) == [("ann", "yes"), ("bob", "no")]


@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("labels", "record"),
        ("labels", "mark_published"),
        ("members", "offer"),
        ("intake", "promote"),
        ("positions", "advance"),
    ],
)
def test_a_crash_after_any_write_loses_and_doubles_nothing(stage, part, method):
    """One label, one assessment, one record and one count, wherever the process died."""
    stage.dataset_settings = DatasetSettings(name="production", rate=0.0)
    stage.event("one")
    stage.run()
    say(stage, expectation="no insult")
    with pytest.raises(Exception, match=method):
        stage.run(change=stage.killed_in(part, method))
    stage.run()
    assert [label.state for label in labels(stage)] == ["published"]
    assert people_s(stage) == {"safe": "no", "expected_response": "no insult"}
    [member] = stage.open().members.active("production")
    assert member.expectations == {"expected_response": "no insult"}
    assert stage.counts()["safe", "sampled_out"] == 1


def test_feedback_brings_a_trace_into_the_dataset_where_it_weighs_nothing(stage):
    """A late choice by a person has no probability: 0, for the reason `feedback`, in the ledger's decision and row."""
    stage.dataset_settings = DatasetSettings(name="production", rate=0.0)
    stage.event("one", expectations={"tone": "kind"})
    stage.run()
    assert stage.open().members.count("production") == 0
    say(stage, expectation={"expected_response": "no insult"})
    stage.run()
    [member] = stage.open().members.active("production")
    assert (member.trace_id, member.segment, member.probability) == (ONE, "feedback", 0.0)
    assert member.expectations == {"tone": "kind", "expected_response": "no insult"}
    decided = {each.subject: each for each in stage.open().intake.decisions_of(ONE)}["dataset:production"]
    assert (decided.kept, decided.probability, decided.reason, decided.state) == (True, 0.0, "feedback", "member")


def test_feedback_adds_to_a_record_that_is_there_and_leaves_its_probability(stage):
    """What sampling chose stays a random choice; the newest expectation stands."""
    stage.dataset_settings = DatasetSettings(name="production", rate=1.0)
    stage.event("one", expectations={"expected_response": "old", "tone": "kind"})
    stage.run()
    say(stage, expectation="newer", timestamp_ms=NOW_MS + 1)
    say(stage, expectation="older", timestamp_ms=NOW_MS - 1, user="bob")
    stage.run()
    [member] = stage.open().members.active("production")
    assert (member.segment, member.probability) == ("all", 1.0)
    assert member.expectations == {"expected_response": "newer", "tone": "kind"}
    decided = {each.subject: each for each in stage.open().intake.decisions_of(ONE)}["dataset:production"]
    assert (decided.probability, decided.reason) == (1.0, "rate")


def test_a_promoted_trace_that_comes_again_is_not_offered_with_a_weight(stage):
    """Its event is redelivered after the feedback: the row stays as feedback made it."""
    stage.dataset_settings = DatasetSettings(name="production", rate=0.0)
    stage.event("one")
    stage.run()
    say(stage)
    stage.run()
    [before] = stage.open().members.active("production")
    stage.topic.commits.clear()
    for partition in range(stage.topic.partitions):
        stage.open().positions.reset(stage.topic.name, partition, 0)
    stage.run()
    assert stage.open().members.active("production") == [before]
    assert before.priority < 1e6


def test_feedback_for_a_trace_that_is_not_there_yet_waits_for_it(stage):
    """The label is kept; once the trace is taken in it is shown, drawn like any other, and promoted."""
    stage.dataset_settings = DatasetSettings(name="production", rate=0.0)
    stage.label_rate = 1.0
    say(stage)
    stage.run()
    assert [(label.state, label.drawn) for label in labels(stage)] == [("waiting", False)]
    ledger = stage.open()
    assert stage.feedback(stage.effects(ledger)).publish_waiting(NOW_MS) == 0
    stage.event("one")
    stage.run()
    assert people_s(stage) == {}
    assert stage.feedback(stage.effects(ledger)).publish_waiting(NOW_MS) == 1
    [label] = labels(stage)
    assert (label.state, label.drawn, label.probability) == ("published", True, 1.0)
    assert people_s(stage) == {"safe": "no"}
    assert stage.open().members.count("production") == 1
    assert stage.feedback(stage.effects(ledger)).publish_waiting(NOW_MS) == 0


def test_a_trace_that_sampling_left_out_has_its_label_and_nothing_else(stage):
    """MLflow has no such trace, so that there is nothing to show it at; nobody waits for it for ever."""
    stage.sampling = SamplingSettings(rate=0.0)
    stage.event("one")
    say(stage)
    stage.run()
    assert [label.state for label in labels(stage)] == ["waiting"]
    assert stage.traces.ids() == []
    assert stage.counts() == {("safe", "sampled_out"): 2, ("short", "sampled_out"): 2}


def test_feedback_of_an_evaluation_is_left_alone(stage):
    """Judging must not feed on itself."""
    stage.event("one")
    say(stage, headers=((EVALUATION_MARK, b"run"),))
    stage.run()
    assert labels(stage) == []
    assert stage.counts()["safe", "sampled_out"] == 1


def test_feedback_in_a_shared_topic_is_ours_where_the_trace_is(stage):
    """It names no application: what is about an unknown trace is somebody else's, and is not kept."""
    stage.shared = True
    stage.event("one")
    stage.run()
    say(stage)
    say(stage, "another application's")
    stage.run()
    assert len(labels(stage)) == 1
    assert labels(stage, "another application's") == []
    assert stage.counts()["safe", "not_ours"] == 1


def test_what_is_no_feedback_is_a_dead_letter(stage):
    """It is counted as one, for every scorer."""
    say(stage, value=None)
    stage.run()
    assert stage.counts() == {("safe", "dead_lettered"): 1, ("short", "dead_lettered"): 1}


def test_words_of_people_are_redacted_before_they_are_stored(stage):
    """Rationale, text, expectation and the person's own name are blacked out like a trace, or hashed."""
    settings = RedactionSettings(patterns=("email", OwnPattern(name="order", regex="order-[0-9]+")))
    stage.redaction = Redaction(settings)
    stage.event("one")
    stage.run()
    say(
        stage,
        name="thumbs",
        value="ask bob@example.org",
        rationale="see order-17",
        expectation={"expected_facts": ["bob@example.org"]},
        user="bob@example.org",
    )
    stage.run()
    [label] = labels(stage)
    everything = json.dumps([dict(each) for each in label.assessments]) + str(label)
    assert "bob@" not in everything
    assert "order-17" not in everything
    assert (label.rationale, label.labelled_by, label.label) == ("see [order]", "[email]", "error")
    assert people_s(stage) == {"thumbs": "ask [email]", "expected_facts": ["[email]"]}


def test_users_are_hashed_where_ids_are(stage):
    """Equal names share a hash, so that a person's later word still takes the place of the earlier one."""
    stage.redaction = Redaction(RedactionSettings(ids="hash", ids_key="k" * 32))
    stage.event("one")
    stage.run()
    say(stage)
    say(stage, value="yes", timestamp_ms=NOW_MS + 1)
    stage.run()
    [label] = labels(stage)
    assert label.labelled_by == stage.redaction.identifier("ann") != "ann"
    assert label.label == "pass"
