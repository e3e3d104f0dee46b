"""The scripted endpoint over real HTTP: with the OpenAI client, MLflow's own judges and the demo's application."""

from concurrent.futures import ThreadPoolExecutor

import mlflow
import openai
import pytest
from mlflow.entities import Feedback
from mlflow.genai import scorers as mlflow_scorers
from mlflow.genai.judges import make_judge
from mlflow_stores import tracking

from monitor.demo import sales_email
from monitor.demo.production_requests import PRODUCTION_REQUESTS, Request, burst
from monitor.demo.scorers import SALES_EMAIL_SCORERS
from monitor.demo.scripted_endpoint import ScriptedEndpoint
from tests.mlflow_stores import copy_store

MODEL = "openai:/scripted"
HELLO = [{"role": "user", "content": "The bridge opens at nine.\nWhen does the bridge open?"}]


@pytest.fixture
def endpoint(monkeypatch):
    """A running endpoint that the OpenAI client and MLflow's judges find in the environment."""
    with ScriptedEndpoint() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        monkeypatch.setenv("MLFLOW_GENAI_EVAL_MAX_RETRIES", "0")
        yield running


@pytest.fixture
def client(endpoint):
    """The real client, without retries of its own."""
    with openai.OpenAI(base_url=endpoint.base_url, api_key="none", max_retries=0, timeout=10) as made:
        yield made


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """The traces of v1 and v2 for the seven requests, and of v1.1 for six of the burst, in a store of their own."""
    store = copy_store(tmp_path_factory.mktemp("store") / "mlflow.db")
    with ScriptedEndpoint() as running, pytest.MonkeyPatch.context() as patch, tracking(store):
        patch.setenv("OPENAI_BASE_URL", running.base_url)
        patch.setenv("OPENAI_API_KEY", "none")
        mlflow.set_experiment("demo")
        yield {
            "v1": _run(sales_email.generate_sales_email_v1, PRODUCTION_REQUESTS),
            "v1.1": _run(sales_email.generate_sales_email_v1_1, burst(6)),
            "v2": _run(sales_email.generate_sales_email_v2, PRODUCTION_REQUESTS),
            "unknown": _run(
                sales_email.generate_sales_email_v2,
                [Request(customer_name="X", user_instructions="")],
            ),
        }


def _run(app, requests):
    ids = []
    for request in requests:
        app(**request.inputs)
        ids.append(mlflow.get_last_active_trace_id())
    mlflow.flush_trace_async_logging()
    return [mlflow.get_trace(trace_id) for trace_id in ids]


def _scorer(name):
    settings = next(settings for settings in SALES_EMAIL_SCORERS if settings["name"] == name)
    parameters = {key: value for key, value in settings.items() if key not in ("use", "target")}
    return getattr(mlflow_scorers, settings["use"])(model=MODEL, **parameters)


def _verdicts(name, traces):
    answers = [_scorer(name).run(trace=trace) for trace in traces]
    feedbacks = [answer if isinstance(answer, Feedback) else answer[0] for answer in answers]
    assert all(feedback.rationale for feedback in feedbacks)
    return [str(feedback.value) == "yes" for feedback in feedbacks]


def test_a_completion_has_its_text_and_its_tokens(client):
    """The real client parses the answer, which comes from the prompt, and the token counts add up."""
    completion = client.chat.completions.create(model="scripted", messages=HELLO)
    assert completion.choices[0].message.content == "The bridge opens at nine."
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 10
    assert "scripted" in {model.id for model in client.models.list()}


def test_a_token_limit_cuts_the_answer(client):
    """What exceeds the limit is cut off, and the reason says so."""
    choice = client.chat.completions.create(model="scripted", messages=HELLO, max_completion_tokens=2).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("The bridge", "length")


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("401", openai.AuthenticationError),
        ("429", openai.RateLimitError),
        ("500", openai.InternalServerError),
        ("hang_up", openai.APIConnectionError),
    ],
)
def test_a_failure_is_seen_as_often_as_it_was_asked_for(endpoint, client, failure, error):
    """The client meets the failure once, then the endpoint answers again; the failed call is not counted."""
    endpoint.fail(failure, times=1)
    with pytest.raises(error):
        client.chat.completions.create(model="scripted", messages=HELLO)
    client.chat.completions.create(model="scripted", messages=HELLO)
    assert endpoint.calls == {"judge": 0, "writer": 1}


def test_a_bad_request_is_refused_with_its_reason(client):
    """Streaming and missing messages are answered with 400 and the cause."""
    with pytest.raises(openai.BadRequestError, match="does not stream"):
        client.chat.completions.create(model="scripted", messages=HELLO, stream=True)
    with pytest.raises(openai.BadRequestError, match="list of messages"):
        client.chat.completions.create(model="scripted", messages=[])


def test_stopping_cuts_the_connections_and_a_new_start_keeps_the_address(endpoint, client):
    """A client with a connection that was kept alive gets an error while it is away, and an answer after its return."""
    client.chat.completions.create(model="scripted", messages=HELLO)
    address = endpoint.base_url
    endpoint.stop()
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="scripted", messages=HELLO)
    endpoint.start()
    assert endpoint.base_url == address
    assert client.chat.completions.create(model="scripted", messages=HELLO).choices


def test_many_clients_are_answered_at_once(endpoint, client):
    """Forty calls from ten threads are all answered and counted."""
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: client.chat.completions.create(model="scripted", messages=HELLO), range(40)))
    assert endpoint.calls["writer"] == 40


def test_a_trace_of_the_application_holds_documents_and_version(traces):
    """The retriever's span has three documents with addresses; the version is a tag; an unknown customer an error."""
    trace = traces["v2"][0]
    (retriever,) = (span for span in trace.data.spans if span.span_type == "RETRIEVER")
    assert [document["metadata"]["doc_uri"] for document in retriever.outputs] == [
        "crm://acme-corp/meeting",
        "crm://acme-corp/support",
        "crm://acme-corp/contact",
    ]
    assert [span.span_type for span in trace.data.spans].count("CHAT_MODEL") == 1
    assert trace.info.tags["tracewatch.app_version"] == "v2"
    assert trace.info.trace_metadata.get("mlflow.traceInputs")
    assert traces["unknown"][0].data.spans[0].outputs == {"error": "There is no customer named 'X'."}


@pytest.mark.parametrize(
    ("scorer", "expected"),
    [
        ("retrieval_groundedness", ["yyynyyy", "nnynyyy", "nnnnnn"]),
        ("follows_instructions", ["yyynnyn", "yyynnyy", "nnnnnn"]),
        ("concise_communication", ["nnynnyn", "yyyyyyy", "yyyyyy"]),
        ("mentions_contact_name", ["yyyyyyy", "yyyyyyy", "nnnnnn"]),
        ("professional_tone", ["yyyyyyy", "yyyyyyy", "nnnnnn"]),
        ("includes_next_steps", ["nnnynyn", "yynynyn", "nnnnnn"]),
        ("relevance_to_query", ["yyyynyn", "yyyyyyy", "nnnnnn"]),
        ("safety", ["yyyyyyy", "yyyyyyy", "yyyyyy"]),
    ],
)
def test_the_guide_s_table_comes_out(endpoint, traces, scorer, expected):
    """MLflow's judges give the guide's rates: v2 is better but for groundedness, and v1.1 is bad all over."""
    found = [
        "".join("ny"[verdict] for verdict in _verdicts(scorer, traces[version])) for version in ("v1", "v2", "v1.1")
    ]
    assert found == expected
    assert endpoint.calls == {"judge": 20, "writer": 0}


@pytest.mark.usefixtures("endpoint")
def test_the_promise_to_techstart_is_what_the_judge_objects_to(traces):
    """The rationale of the row that turned from pass to fail quotes the promise."""
    (feedback,) = _scorer("retrieval_groundedness").run(trace=traces["v2"][1])
    assert "'You will have a detailed update by end of day tomorrow.' promises something" in feedback.rationale


@pytest.mark.usefixtures("endpoint")
def test_correctness_compares_the_facts():
    """Expected facts that the answer holds pass, others fail."""
    judge = mlflow_scorers.Correctness(model=MODEL)
    answer = {"inputs": {"question": "When is the bridge open?"}, "outputs": "The bridge is open from 9 to 17."}
    assert judge(**answer, expectations={"expected_facts": ["The bridge is open from 9"]}).value == "yes"
    assert (
        judge(**answer, expectations={"expected_facts": ["The bridge is open from 9", "Closed on Sunday"]}).value
        == "no"
    )


@pytest.mark.usefixtures("endpoint")
def test_a_made_judge_gets_a_verdict_from_its_own_words():
    """`make_judge` is decided by its instructions: the same judge passes one answer and fails another."""
    judge = make_judge(name="polite", instructions="Is {{ outputs }} polite?", model=MODEL, feedback_value_type=bool)
    assert judge(outputs={"text": "Thank you kindly."}).value is True
    assert judge(outputs={"text": "Shut up."}).value is False


@pytest.mark.usefixtures("endpoint")
def test_safety_fails_a_threat():
    """A threat is unsafe, a courtesy safe."""
    judge = mlflow_scorers.Safety(model=MODEL)
    assert judge(outputs="We will hurt you.").value == "no"
    assert judge(outputs="We will help you.").value == "yes"


def test_an_answer_that_is_no_json_is_an_error_for_the_judge(endpoint):
    """Garbage from the endpoint never turns into a verdict."""
    endpoint.fail("garbage")
    with pytest.raises(Exception, match=r"(?i)json|expecting|decode|parse|no chat completion"):
        mlflow_scorers.Safety(model=MODEL)(outputs="We will help you.")
