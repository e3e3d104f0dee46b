"""What one event causes happens once, whatever dies in between."""

import json
from collections import Counter

import pytest
from mlflow.entities import Trace

from consumers.events import mlflow_trace_id
from monitor.traces.errors import TraceRejected
from monitor.traces.memory_store import MemoryTraceStore

STEPS = [
    ("intake", "claim"),
    ("intake", "record"),
    ("intake", "verdicts_of"),
    ("intake", "mark_published"),
    ("positions", "advance"),
]


@pytest.mark.parametrize(("part", "method"), STEPS)
def test_a_crash_after_any_write_repeats_projections_and_never_a_judge_call(stage, part, method):
    """One judge call, one verdict, one published assessment and one count, wherever the process died."""
    stage.scorers.pop("short")
    stage.event("one")
    with pytest.raises(Exception, match=method):
        stage.run(change=stage.killed_in(part, method))
    stage.run()
    assert stage.judged == ["safe:one"]
    verdicts = stage.open().intake.verdicts_of(mlflow_trace_id("one"))
    assert [(verdict.label, verdict.published) for verdict in verdicts] == [("pass", True)]
    stored = stage.traces.get(mlflow_trace_id("one"))
    assert [each.name for each in stored.info.assessments] == ["safe"]
    assert stage.counts() == {("safe", "scored"): 1}


@pytest.mark.parametrize("method", ["put", "publish"])
def test_a_crash_after_a_write_to_mlflow_repeats_no_judge_call(stage, method):
    """The store was written and the process died: the next one writes the same again."""

    class Dying(MemoryTraceStore):
        """Does its work, and is the last thing that the process does."""

    def die(_self, *args):
        getattr(stage.traces, method)(*args)
        raise RuntimeError(method)

    setattr(Dying, method, die)
    dying = Dying()
    if method == "publish":
        dying.put = stage.traces.put
    stage.event("one")
    with pytest.raises(RuntimeError, match=method):
        stage.run(traces=dying)
    stage.run()
    assert sorted(stage.judged) == ["safe:one", "short:one"]
    assert len(stage.traces.get(mlflow_trace_id("one")).info.assessments) == 2


def test_the_trace_is_in_mlflow_before_it_is_judged(stage):
    """A judge that looks its trace up finds it."""
    found = []
    stage.scorer("safe", answer=lambda _inputs: bool(found.append(stage.traces.get(mlflow_trace_id("one")))) or True)
    stage.event("one")
    stage.run()
    assert isinstance(found[0], Trace)


def test_duplicates_are_counted_and_cause_nothing(stage):
    """A trace that comes a second time, at another position, is a duplicate for every scorer."""
    stage.event("one", partition=0)
    stage.run()
    stage.event("one", partition=1)
    stage.event("one", partition=0)
    stage.run()
    assert sorted(stage.judged) == ["safe:one", "short:one"]
    assert stage.counts() == {
        (name, outcome): count for name in ("safe", "short") for outcome, count in (("scored", 1), ("duplicates", 2))
    }


def test_what_is_no_event_is_a_dead_letter_and_stops_nothing(stage):
    """The events before and after it are judged; the letter has the original bytes and the reason."""
    stage.event("one")
    stage.topic.append(b"{not json", partition=0)
    stage.event("two")
    stage.run()
    (letter,) = stage.letters.letters
    assert (letter.value, letter.header("tracewatch.reason")) == (b"{not json", b"not_json")
    assert stage.counts()["safe", "dead_lettered"] == 1
    assert stage.counts()["safe", "scored"] == 2


def test_a_trace_that_mlflow_refuses_is_a_dead_letter(stage):
    """MLflow is well and will never take it: the partition goes on."""

    class Refusing(MemoryTraceStore):
        """Takes no trace."""

        def put(self, *_):
            """Refuse."""
            raise TraceRejected("too odd")

    stage.event("one")
    stage.run(traces=Refusing())
    assert [each.header("tracewatch.reason") for each in stage.letters.letters] == [b"trace_rejected"]
    assert stage.counts() == {("safe", "dead_lettered"): 1, ("short", "dead_lettered"): 1}


def test_a_trace_that_was_deleted_before_its_assessments_came_is_scored(stage):
    """The verdict stands in the ledger, and nobody tries to publish it for ever."""

    class Forgetful(MemoryTraceStore):
        """Has lost the trace by the time it is assessed."""

        def put(self, trace, assessments=()):
            """Keep nothing."""

    stage.event("one")
    stage.run(traces=Forgetful())
    assert stage.counts() == {("safe", "scored"): 1, ("short", "scored"): 1}
    assert stage.letters.letters == []
    assert stage.open().intake.unpublished(10) == []


def test_every_event_is_accounted_for_to_every_scorer(stage):
    """Received = scored + sampled out + dead-lettered + duplicates + not ours, for each scorer."""
    stage.sampling = stage.sampling.model_copy(update={"rate": 0.5})
    stage.is_ours = lambda event: event.name != "theirs"
    for number in range(40):
        stage.event(f"event {number % 35}", partition=number % 2, name="theirs" if number % 7 == 0 else "ours")
    stage.topic.append(b"", partition=1)
    stage.run()
    counts = stage.counts()
    for name in ("safe", "short"):
        by_outcome = Counter({outcome: count for (scorer, outcome), count in counts.items() if scorer == name})
        assert sum(by_outcome.values()) == 41
        assert by_outcome["dead_lettered"] == 1
        assert by_outcome["not_ours"] == 6
        assert by_outcome["scored"] > 0
        assert by_outcome["sampled_out"] > 0
    assert stage.open().positions.received() == 41


def test_a_scorer_taken_out_of_the_configuration_stops_no_redelivery(stage):
    """Its decision stays in the ledger, due; the event that comes again is done without it."""
    stage.event("one")
    with pytest.raises(Exception, match="claim"):
        stage.run(change=stage.killed_in("intake", "claim"))
    stage.scorers.pop("short")
    stage.run()
    assert stage.judged == ["safe:one"]
    assert stage.counts() == {("safe", "scored"): 1}


def test_events_of_an_evaluation_are_left_out(stage):
    """Judging never feeds on itself."""
    document = {"trace_id": "one", "inputs": {"question": "one"}, "outputs": "yes"}
    stage.topic.append(json.dumps(document).encode(), partition=0, headers=(("tracewatch-evaluation", b"run"),))
    stage.run()
    assert stage.judged == []
    assert stage.counts() == {("safe", "sampled_out"): 1, ("short", "sampled_out"): 1}
