"""Traces that people are asked to label, drawn while events are taken in."""

import pytest

from consumers.events import mlflow_trace_id
from monitor.labels.drawing import LABEL_TAG
from monitor.ledger import TraceTime
from tests.unit.pipeline.conftest import NOW_MS

EVENTS = 40


def tags_of(stage):
    return {number: stage.traces.get(mlflow_trace_id(str(number))).info.tags.get(LABEL_TAG) for number in range(EVENTS)}


def drawn_of(stage):
    return {each.trace_id for each in stage.open().labels.drawn(0, None, 100)}


def test_drawn_traces_are_tagged_and_nobody_counts_them(stage):
    """The ledger's draws are MLflow's tags, and for each scorer the events are accounted for as without them."""
    stage.label_rate = 0.3
    for number in range(EVENTS):
        stage.event(str(number))
    stage.run()
    drawn = drawn_of(stage)
    assert 0 < len(drawn) < EVENTS
    tags = tags_of(stage)
    assert {mlflow_trace_id(str(number)) for number, tag in tags.items() if tag == "wanted"} == drawn
    assert set(tags.values()) == {"wanted", None}
    assert stage.counts() == {("safe", "scored"): EVENTS, ("short", "scored"): EVENTS}


def test_only_what_a_judge_judges_is_drawn(stage):
    """Scorers in code need no human to check them."""
    stage.label_rate = 1.0
    del stage.scorers["safe"]
    stage.event("one")
    stage.run()
    assert drawn_of(stage) == set()
    assert LABEL_TAG not in stage.traces.get(mlflow_trace_id("one")).info.tags


def test_a_tag_that_a_trace_brings_along_draws_nothing(stage):
    """The stream cannot ask people to label."""
    stage.event("one", tags={LABEL_TAG: "wanted"})
    stage.run()
    assert LABEL_TAG not in stage.traces.get(mlflow_trace_id("one")).info.tags


@pytest.mark.parametrize(("part", "method"), [("intake", "claim"), ("intake", "record"), ("positions", "advance")])
def test_a_draw_stands_when_the_process_dies(stage, part, method):
    """The next process finds it in the ledger, whatever rate its configuration asks for, and tags the trace."""
    stage.label_rate = 1.0
    stage.event("one")
    with pytest.raises(Exception, match=method):
        stage.run(change=stage.killed_in(part, method))
    stage.label_rate = 0.0
    stage.run()
    assert stage.open().labels.drawn(0, None, 9) == [TraceTime(trace_id=mlflow_trace_id("one"), event_time_ms=NOW_MS)]
    assert stage.traces.get(mlflow_trace_id("one")).info.tags[LABEL_TAG] == "wanted"
