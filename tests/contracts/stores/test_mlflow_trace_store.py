"""What only the trace store on MLflow can show: people who work on the same traces, other experiments, outages."""

import socket
import threading
import time

import mlflow
import pytest
from mlflow.entities import AssessmentSource, Expectation, Feedback
from mlflow.tracing.client import TracingClient
from sample_traces import sample_feedback, sample_trace

from monitor.traces.errors import TraceRejected, TraceStoreUnavailable
from monitor.traces.mlflow_store import MlflowTraceStore
from monitor.tracking.connection import apply_client_limits


@pytest.fixture
def store(mlflow_uri):
    """A store on an empty MLflow."""
    return MlflowTraceStore(mlflow_uri, "shop")


@pytest.fixture
def person(mlflow_uri):
    """Somebody who works on the same MLflow."""
    return TracingClient(mlflow_uri)


def _humans(name="useful", overrides=None):
    feedback = Feedback(name=name, value="no", source=AssessmentSource(source_type="HUMAN", source_id="ann"))
    feedback.overrides = overrides
    return feedback


def test_tags_and_assessments_that_people_add_survive_redelivery(store, person):
    """Neither put nor publish takes away what the monitor did not write."""
    trace = sample_trace()
    store.put(trace)
    person.set_trace_tag(trace.info.trace_id, "triaged", "yes")
    person.log_assessment(trace.info.trace_id, _humans())
    store.put(trace)
    store.publish(trace.info.trace_id, [sample_feedback(trace)])
    stored = store.get(trace.info.trace_id)
    assert stored.info.tags["triaged"] == "yes"
    assert sorted(each.name for each in stored.info.assessments) == ["safety", "useful"]


def test_a_verdict_that_a_person_has_overridden_stays_overridden(store, person):
    """Publishing it again after a restart, or putting it with its trace, does not make it valid again."""
    trace = sample_trace()
    verdict = sample_feedback(trace)
    store.put(trace, [verdict])
    person.log_assessment(trace.info.trace_id, _humans("safety", overrides=verdict.assessment_id))
    restarted = MlflowTraceStore(store._tracking_uri, "shop")
    restarted.publish(trace.info.trace_id, [verdict])
    restarted.put(trace, [verdict])
    stored = store.get(trace.info.trace_id).info.assessments
    assert {each.assessment_id == verdict.assessment_id: each.valid for each in stored} == {True: False, False: True}


def test_a_trace_that_mlflow_has_keeps_its_experiment(store, person, mlflow_uri):
    """An application that logs to the same MLflow still finds its trace where it put it."""
    elsewhere = mlflow.MlflowClient(mlflow_uri).create_experiment("of the application")
    first, second = sample_trace("first"), sample_trace("second")
    MlflowTraceStore(mlflow_uri, "of the application").put(first)
    store.put_many([first, second])
    store.publish(first.info.trace_id, [sample_feedback(first)])
    assert person.get_trace_info(first.info.trace_id).experiment_id == elsewhere
    assert person.get_trace_info(second.info.trace_id).experiment_id == store.experiment_id
    assert store.experiment_id not in {elsewhere, "0"}


def test_a_trace_of_another_mlflow_is_not_pointed_back_there(store, person):
    """Tags by which the first store finds its artifacts are replaced by this store's."""
    foreign = {"mlflow.artifactLocation": "s3://elsewhere", "mlflow.trace.spansLocation": "ARCHIVE_REPO"}
    trace = sample_trace(tags=foreign)
    store.put(trace)
    assert person.get_trace_info(trace.info.trace_id).tags["mlflow.artifactLocation"] != "s3://elsewhere"
    assert len(store.get(trace.info.trace_id).data.spans) == 2


def test_threads_share_a_store(store):
    """Eight writers on one SQLite file lose nothing and see no lock error."""
    traces = [sample_trace(f"trace {number}") for number in range(24)]
    failures = []

    def write(mine):
        try:
            for trace in mine:
                store.put(trace, [sample_feedback(trace)])
        except Exception as error:  # noqa: BLE001 - the test reports whatever a thread died of
            failures.append(error)

    threads = [threading.Thread(target=write, args=(traces[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(len(store.get(trace.info.trace_id).info.assessments) == 1 for trace in traces)


def test_a_trace_that_mlflow_cannot_store_is_rejected_and_not_waited_for(store):
    """Waiting would stop the partition for ever; the store goes on with the next trace."""
    poison = sample_trace("poison", tags={"k" * 500: "a tag key beyond MLflow's limit"})
    poison.info.trace_id = "tr-" + "f" * 300
    poison.info.request_time = None
    with pytest.raises(TraceRejected):
        store.put(poison)
    store.put(sample_trace())


@pytest.mark.parametrize("where", ["mlflow_uri", "mlflow_server"])
def test_numbers_of_any_length_are_stored(where, request):
    """An id of 64 bits without a sign is more than MLflow's messages hold: its digits are kept."""
    store = MlflowTraceStore(request.getfixturevalue(where), "numbers")
    most, more = 2**63 - 1, 2**64 - 1
    trace = sample_trace(
        "numbers", inputs={"id": more, "ids": [most, more], "order": "1" * 20}, outputs={"answer": 10**400}
    )
    expected = Expectation(name="id", value=10**400, source=AssessmentSource(source_type="HUMAN", source_id="a"))
    expected.assessment_id, expected.trace_id = "a-1", trace.info.trace_id
    store.put(trace, [expected])
    stored = store.get(trace.info.trace_id)
    (root,) = [span for span in stored.data.spans if span.parent_id is None]
    assert [str(each) for each in (root.inputs["id"], *root.inputs["ids"])] == [str(more), str(most), str(more)]
    assert root.inputs["order"] == "1" * 20, "a text stays what it is"
    assert str(root.outputs["answer"]) == str(10**400)


def test_a_deleted_experiment_is_named(mlflow_uri):
    """An operator reads what to do; nothing is stored where nobody sees it."""
    client = mlflow.MlflowClient(mlflow_uri)
    client.delete_experiment(client.create_experiment("gone"))
    with pytest.raises(TraceStoreUnavailable, match="'gone' is deleted"):
        MlflowTraceStore(mlflow_uri, "gone").probe()


def _closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:{port}", "postgresql+psycopg://u:p@127.0.0.1:{port}/mlflow"], ids=["http", "postgres"]
)
def test_an_unreachable_server_is_known_within_seconds(address):
    """The daemon waits itself, so it must be told at once, whichever call meets the outage; and the cause is named."""
    port = _closed_port()
    store = MlflowTraceStore(address.format(port=port), "shop")
    started = time.monotonic()
    for call in (store.probe, lambda: store.put(sample_trace()), lambda: store.get("tr-" + "0" * 32)):
        with pytest.raises(TraceStoreUnavailable, match="refused"):
            call()
    assert time.monotonic() - started < 10


def test_a_server_that_goes_away_is_known_within_seconds(monkeypatch):
    """A store that was connected maps MLflow's own connection errors, at every call."""
    port = _closed_port()
    store = MlflowTraceStore(f"http://127.0.0.1:{port}", "shop")
    apply_client_limits()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    store._client, store._experiment_id = TracingClient(f"http://127.0.0.1:{port}"), "1"
    trace = sample_trace()
    calls = (
        store.probe,
        lambda: store.put(trace),
        lambda: store.publish(trace.info.trace_id, [sample_feedback(trace)]),
        lambda: store.get(trace.info.trace_id),
    )
    started = time.monotonic()
    for call in calls:
        with pytest.raises(TraceStoreUnavailable, match="refused"):
            call()
    assert time.monotonic() - started < 15
