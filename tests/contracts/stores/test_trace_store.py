"""What every trace store does: one suite on the form in memory and on MLflow with SQLite."""

from dataclasses import replace

import pytest
from mlflow.entities import AssessmentSource, Expectation, Feedback, Trace
from mlflow.entities.trace_state import TraceState
from sample_traces import sample_feedback, sample_trace

from monitor.traces.errors import TraceRejected
from monitor.traces.memory_store import MemoryTraceStore


@pytest.fixture(params=["memory", "mlflow"])
def store(request):
    """An empty store of each form."""
    if request.param == "memory":
        return MemoryTraceStore()
    from monitor.traces.mlflow_store import MlflowTraceStore

    return MlflowTraceStore(request.getfixturevalue("mlflow_uri"), "shop")


def test_a_store_that_is_well_takes_writes(store):
    """As often as it is asked."""
    assert [store.takes_writes() for _ in range(2)] == [True, True]


def _seen(trace):
    """What a reader sees of a trace, without times of writing and the store's own tags."""
    own = {"mlflow.artifactLocation", "mlflow.trace.spansLocation"}
    return (
        trace.info.trace_id,
        trace.info.request_time,
        trace.info.execution_duration,
        trace.info.state,
        trace.info.request_preview,
        trace.info.client_request_id,
        {key: value for key, value in trace.info.tags.items() if key not in own},
        trace.info.trace_metadata["mlflow.trace.session"],
        sorted((span.span_id, span.name, str(span.inputs), str(span.outputs)) for span in trace.data.spans),
        sorted((each.assessment_id, each.name, str(each.value), each.valid) for each in trace.info.assessments),
    )


def test_a_trace_comes_back_as_it_was_put(store):
    """Times, state, previews, tags, session, spans and assessments survive storing."""
    trace = sample_trace()
    feedback = sample_feedback(trace)
    store.put(trace, [feedback])
    stored = store.get(trace.info.trace_id)
    expected = Trace(info=replace(trace.info, assessments=[feedback]), data=trace.data)
    assert _seen(stored) == _seen(expected)


def test_a_trace_that_ended_in_an_error_is_stored_as_such(store):
    """The state is the one told, not one that the store derives from spans."""
    trace = sample_trace()
    trace.info.state = TraceState.ERROR
    store.put(trace)
    assert store.get(trace.info.trace_id).info.state is TraceState.ERROR


def test_putting_a_trace_twice_is_putting_it_once(store):
    """A redelivery changes nothing that a reader sees."""
    trace = sample_trace()
    store.put(trace, [sample_feedback(trace)])
    once = _seen(store.get(trace.info.trace_id))
    store.put(trace, [sample_feedback(trace)])
    assert _seen(store.get(trace.info.trace_id)) == once


def test_an_assessment_that_came_without_an_id_is_not_doubled(store):
    """Assessments of a foreign trace get ids that are the same at every delivery, two equal ones two ids."""
    source = AssessmentSource(source_type="HUMAN", source_id="ann")
    given = [Expectation(name="fact", value="Rome", source=source), Feedback(name="ok", value=True, source=source)]
    for _ in range(2):
        store.put(sample_trace(assessments=[*given, given[1]]))
    stored = store.get(sample_trace().info.trace_id).info.assessments
    assert sorted(each.name for each in stored) == ["fact", "ok", "ok"]


def test_the_retriever_span_survives(store):
    """Documents stay those of a RETRIEVER span, which groundedness judges look for."""
    store.put(sample_trace())
    (span,) = store.get(sample_trace().info.trace_id).search_spans(span_type="RETRIEVER")
    assert span.outputs[0]["page_content"] == "a page"


def test_publishing_adds_to_what_is_there_and_repeats_without_doubling(store):
    """Assessments upsert by id: publishing again, or anew with another value, leaves one of each id."""
    trace = sample_trace()
    store.put(trace)
    store.publish(trace.info.trace_id, [sample_feedback(trace), sample_feedback(trace, "concise", "no")])
    store.publish(trace.info.trace_id, [sample_feedback(trace, "concise", "yes")])
    stored = {each.name: each.value for each in store.get(trace.info.trace_id).info.assessments}
    assert stored == {"safety": "yes", "concise": "yes"}


def test_publishing_leaves_the_trace_itself_alone(store):
    """State, times, previews, tags and session are after a publication what they were before it."""
    trace = sample_trace(tags={"lang": "de"})
    store.put(trace)
    before = _seen(store.get(trace.info.trace_id))[:-1]
    for _ in range(2):
        store.publish(trace.info.trace_id, [sample_feedback(trace)])
    assert _seen(store.get(trace.info.trace_id))[:-1] == before


def test_a_put_after_publishing_keeps_the_verdicts(store):
    """A redelivered trace does not lose the assessments of its first delivery."""
    trace = sample_trace()
    store.put(trace)
    store.publish(trace.info.trace_id, [sample_feedback(trace)])
    store.put(trace)
    assert [each.name for each in store.get(trace.info.trace_id).info.assessments] == ["safety"]


def test_an_assessment_for_a_trace_that_is_not_there_is_rejected(store):
    """Nothing is made up for an id that nobody has put."""
    trace = sample_trace()
    with pytest.raises(TraceRejected):
        store.publish(trace.info.trace_id, [sample_feedback(trace)])
    assert store.get(trace.info.trace_id) is None


def test_an_assessment_of_ours_without_an_id_is_rejected(store):
    """It would be doubled by the next delivery."""
    trace = sample_trace()
    nameless = sample_feedback(trace)
    nameless.assessment_id = None
    with pytest.raises(TraceRejected):
        store.put(trace, [nameless])


def test_many_traces_are_stored_as_one_by_one(store):
    """A batch, part of which is there already, stores each trace with its own spans."""
    traces = [sample_trace(f"trace {number}") for number in range(5)]
    store.put(traces[0])
    store.put_many(traces)
    store.put_many([])
    for trace in traces:
        assert _seen(store.get(trace.info.trace_id)) == _seen(trace)


def test_infos_are_what_is_said_of_traces_without_their_spans(store):
    """Tags and assessments of several traces at once; one that is not there is left out."""
    traces = [sample_trace(f"trace {number}", tags={"number": str(number)}) for number in range(3)]
    for trace in traces:
        store.put(trace, [sample_feedback(trace)])
    found = store.infos([*(trace.info.trace_id for trace in traces[:2]), "tr-" + "0" * 32])
    assert {trace_id: info.tags["number"] for trace_id, info in found.items()} == {
        trace.info.trace_id: trace.info.tags["number"] for trace in traces[:2]
    }
    assert [[each.value for each in info.assessments] for info in found.values()] == [["yes"], ["yes"]]
    assert store.infos([]) == {}


def test_an_unknown_trace_is_none(store):
    """Asking for what is not there is no error."""
    assert store.get("tr-" + "0" * 32) is None


def test_what_is_put_is_not_changed_by_the_store(store):
    """The caller goes on with its trace: no location, tag or assessment of the store gets into it."""
    trace = sample_trace()
    before = trace.to_json()
    store.put(trace, [sample_feedback(trace)])
    assert trace.to_json() == before


def test_a_store_that_is_there_answers_a_probe(store):
    """Readiness is asked of the real thing."""
    store.probe()
