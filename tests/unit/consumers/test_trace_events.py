"""What an event becomes."""

import hashlib
import json

import mlflow
import pytest
from mlflow.entities import SpanType, Trace
from mlflow.tracing.client import TracingClient
from mlflow_stores import tracking

from consumers.decoding import decode
from consumers.errors import InvalidEvent
from consumers.events import mlflow_trace_id
from consumers.settings import DecodingLimits

NOW_MS = 1_700_000_100_000


def _decode(message, default_format="tracewatch+json"):
    return decode(message, default_format, DecodingLimits(), NOW_MS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An MLflow store with one experiment."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    with tracking(uri):
        experiment_id = mlflow.create_experiment("shop", artifact_location=str(tmp_path_factory.mktemp("artifacts")))
        yield TracingClient(uri), experiment_id


def _stored(store, trace):
    client, experiment_id = store
    trace.info.trace_location.mlflow_experiment.experiment_id = experiment_id
    for _ in range(2):  # a redelivery stores it again
        client.start_trace(trace.info)
        client.log_spans(experiment_id, trace.data.spans)
    return client.get_trace(trace.info.trace_id)


def test_ids_of_mlflows_form_stay_and_others_are_hashed():
    """`tr-` and 32 hex digits stay, everything else is `tr-` and the start of its SHA-256."""
    own = "tr-" + "0123456789abcdef" * 2
    assert mlflow_trace_id(own) == own
    for other in ("order-17", own.upper(), own + "0", own + "\n"):
        assert mlflow_trace_id(other) == "tr-" + hashlib.sha256(other.encode()).hexdigest()[:32]


def test_an_event_keeps_what_was_said(make_message, make_event):
    """Every field of the format arrives; the message key is not read as an id."""
    event = _decode(make_message(make_event(), key=b"another-id"))
    assert (event.source_id, event.name, event.timestamp_ms, event.duration_ms, event.status) == (
        "order-17",
        "sales_email",
        1_700_000_000_000,
        1234.5,
        "OK",
    )
    assert (event.app_version, event.session_id, dict(event.tags), event.evaluation) == (
        "v1",
        "s-1",
        {"tenant": "acme"},
        False,
    )
    assert event.position.offset == 7


def test_only_three_fields_are_required(make_message):
    """A missing timestamp is the record's; there is no RETRIEVER span where nothing says that documents were sought."""
    event = _decode(make_message({"trace_id": "a", "inputs": {}, "outputs": None}))
    trace = event.payload.trace()
    assert (event.timestamp_ms, event.duration_ms, event.status) == (1_700_000_000_500, None, "OK")
    assert [span.span_type for span in trace.data.spans] == [SpanType.CHAIN]
    assert trace.info.execution_duration is None


@pytest.mark.parametrize(
    "headers", [(("tracewatch-evaluation", b"run-1"),), (("baggage", b"a=b,tracewatch-evaluation=run-1"),)]
)
def test_events_of_an_evaluation_are_marked(headers, make_message, make_event):
    """The evaluation's header or baggage marks the event, so that judging does not feed on itself."""
    assert _decode(make_message(make_event(), headers=headers)).evaluation
    assert _decode(make_message(make_event(tags={"tracewatch-evaluation": "run-1"}))).evaluation


def test_a_trace_is_the_same_at_every_delivery(make_message, make_event):
    """Ids and content depend on nothing but the message."""
    one, two = (_decode(make_message(make_event())).payload.trace() for _ in range(2))
    assert one.to_json() == two.to_json()


def test_a_trace_can_be_stored_twice_and_read_back(store, make_message, make_event):
    """What MLflow gives back has the inputs, outputs, documents, tags, session, times and expectations, once."""
    trace = _stored(store, _decode(make_message(make_event())).payload.trace())
    root, retriever = sorted(trace.data.spans, key=lambda span: span.parent_id or "")
    assert (root.inputs, root.outputs) == ({"question": "Where is my order?"}, {"answer": "In Graz."})
    assert retriever.parent_id == root.span_id
    assert retriever.span_type == SpanType.RETRIEVER
    assert retriever.outputs[0]["page_content"] == "Order 17 is in Graz."
    assert retriever.outputs[0]["metadata"] == {"doc_uri": "crm://17"}
    assert trace.info.client_request_id == "order-17"
    assert trace.info.tags["tracewatch.source_id"] == "order-17"
    assert trace.info.tags["tracewatch.app_version"] == "v1"
    assert trace.info.tags["tenant"] == "acme"
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s-1"
    assert (trace.info.request_time, trace.info.execution_duration) == (1_700_000_000_000, 1234)
    assert [(each.name, each.value) for each in trace.info.assessments] == [("expected_response", "It is in Graz.")]
    assert json.loads(trace.info.request_preview) == {"question": "Where is my order?"}


def test_mlflows_own_scorers_find_the_retrieved_documents(make_message, make_event):
    """RetrievalGroundedness looks for documents with this very function."""
    from mlflow.genai.utils.trace_utils import extract_retrieval_context_from_trace

    found = extract_retrieval_context_from_trace(_decode(make_message(make_event())).payload.trace())
    assert [document["content"] for documents in found.values() for document in documents] == ["Order 17 is in Graz."]


def test_awkward_texts_survive(store, make_message, make_event):
    """NUL in a value, characters beyond the BMP, very long ids and tags: stored, not fatal."""
    made = make_event(
        trace_id="\U0001f600" * 200, inputs={"q": "a\0b \U0001f600"}, outputs="x\0y", tags={"long": "v" * 9000}
    )
    trace = _stored(store, _decode(make_message(made)).payload.trace())
    assert trace.data.spans[0].inputs == {"q": "a\0b \U0001f600"}
    assert trace.info.client_request_id == "\U0001f600" * 50


def test_a_stream_cannot_say_where_mlflow_finds_its_files(make_message, make_event):
    """Tags of MLflow's own namespace are not taken over from an event."""
    made = make_event(tags={"mlflow.artifactLocation": "/etc", "mlflow.traceName": "x"})
    tags = _decode(make_message(made)).payload.trace().info.tags
    assert "mlflow.artifactLocation" not in tags
    assert tags["mlflow.traceName"] == "sales_email"


def _exported(trace, **info):
    document = json.loads(trace.to_json())
    document["info"] |= info
    return json.dumps(document).encode()


def test_a_trace_of_another_mlflow_keeps_its_id_and_spans(store, make_message, make_event):
    """`Trace.to_json()` of another process is stored with the same id and spans, without its old location."""
    original = _decode(make_message(make_event(trace_id="tr-" + "ab" * 16))).payload.trace()
    original.info.tags["mlflow.trace.spansLocation"] = "TRACKING_STORE"
    event = _decode(make_message(_exported(original)), "mlflow+json")
    trace = event.payload.trace()
    assert (event.trace_id, event.app_version, event.session_id) == ("tr-" + "ab" * 16, "v1", "s-1")
    assert (event.timestamp_ms, event.duration_ms) == (1_700_000_000_000, 1234)
    assert [span.span_id for span in trace.data.spans] == [span.span_id for span in original.data.spans]
    assert "mlflow.trace.spansLocation" not in trace.info.tags
    assert len(_stored(store, trace).data.spans) == 2


def test_a_trace_id_of_another_form_is_replaced_in_every_span(make_message, make_event):
    """The spans follow the id, else MLflow would split the trace in two."""
    original = _decode(make_message(make_event())).payload.trace()
    event = _decode(make_message(_exported(original, trace_id="trace:/catalog/1")), "mlflow+json")
    trace = event.payload.trace()
    assert trace.info.trace_id == mlflow_trace_id("trace:/catalog/1")
    assert {span.trace_id for span in trace.data.spans} == {trace.info.trace_id}
    assert trace.info.tags["tracewatch.source_id"] == "trace:/catalog/1"


def test_a_real_traced_function_round_trips(store, make_message):
    """What MLflow's own tracing writes today is understood."""

    @mlflow.trace(span_type="AGENT")
    def answer(question):
        with mlflow.start_span("find", span_type="RETRIEVER") as span:
            span.set_outputs([{"page_content": "text", "metadata": {}, "id": "1"}])
        return question.upper()

    mlflow.set_experiment(experiment_id=store[1])
    answer("why?")
    mlflow.flush_trace_async_logging()
    written: Trace = mlflow.get_trace(mlflow.get_last_active_trace_id())
    message = make_message(written.to_json().encode())
    event = decode(message, "mlflow+json", DecodingLimits(), written.info.request_time)
    trace = event.payload.trace()
    assert event.trace_id == written.info.trace_id
    assert [span.to_dict() for span in trace.data.spans] == [span.to_dict() for span in written.data.spans]
    assert not event.evaluation


@pytest.mark.parametrize(
    ("part", "key"), [("trace_metadata", "mlflow.sourceRun"), ("tags", "mlflow.trace.sourceScorer")]
)
def test_traces_of_mlflow_runs_and_judges_are_marked(part, key, make_message, make_event):
    """A trace that belongs to an evaluation run or to a judge is one of an evaluation."""
    original = _decode(make_message(make_event())).payload.trace()
    getattr(original.info, part)[key] = "x"
    assert _decode(make_message(_exported(original)), "mlflow+json").evaluation


def test_a_trace_that_mlflow_cannot_read_is_refused_when_it_is_built(make_message, make_event):
    """Faults below what the typed decode checks are still an `InvalidEvent`."""
    document = json.loads(_exported(_decode(make_message(make_event())).payload.trace()))
    document["data"]["spans"][0]["span_id"] = "not base64 of eight bytes"
    event = _decode(make_message(json.dumps(document).encode()), "mlflow+json")
    with pytest.raises(InvalidEvent) as caught:
        event.payload.trace()
    assert caught.value.reason == "invalid_trace"
