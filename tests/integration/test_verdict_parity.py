"""The same stored trace gets the same verdicts from the daemon's suite as from ``mlflow.genai.evaluate``.

The judge here answers with a digest of the very question it was asked, so equal rationales prove equal questions.
Where Tracewatch goes further than evaluate the difference is a test of its own: a scorer that returns nothing has no
assessment in evaluate and an error verdict here; several feedbacks become one by the rule of ``scorers.feedbacks``.
"""

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Document, Feedback, SpanType, Trace
from mlflow.genai.scorers import Guidelines
from mlflow_stores import tracking

from scorers.catalog import build_scorer
from scorers.feedbacks import one_feedback
from scorers.judge_transport import release_judge_calls
from scorers.judges import configure_judge
from scorers.registry import MlflowScorerRegistry
from scorers.settings import JudgeSettings, ScorerSettings
from scorers.suite import ScorerSuite

USER_CODE = """
from mlflow.entities import Feedback
from mlflow.genai.scorers import Scorer, scorer

def boolean(outputs):
    return "Paris" in str(outputs)

def number(inputs, outputs, expectations, trace):
    return len(str(inputs)) + len(str(outputs)) + len(expectations) + len(trace.data.spans) / 10

def string(outputs):
    return "warm" if "Paris" in str(outputs) else "cold"

def feedback(trace):
    return Feedback(name="another name", value=False, rationale=f"{len(trace.data.spans)} spans")

def with_error(outputs):
    return Feedback(error=ValueError("cannot tell"))

def raising(outputs):
    raise KeyError("no such thing")

def nothing(outputs):
    return None

def wrong_type(outputs):
    return {1, 2}

def several(outputs):
    return [Feedback(name="several", value=True, rationale="a"), Feedback(name="several", value=False, rationale="b")]

@scorer
def decorated(outputs, threshold=3):
    return len(str(outputs)) > threshold

class OwnClass(Scorer):
    name: str = "own"
    word: str = "Paris"
    def __call__(self, *, outputs=None):
        return Feedback(value=self.word in str(outputs), rationale=f"looked for {self.word}")
"""

SCORERS: list[dict[str, Any]] = [
    {"name": "retrieval_groundedness", "use": "RetrievalGroundedness"},
    {"name": "retrieval_sufficiency", "use": "RetrievalSufficiency"},
    {"name": "short", "use": "Guidelines", "guidelines": ["The answer is short.", "No jokes."]},
    {"name": "relevance", "use": "RelevanceToQuery"},
    {"name": "safety", "use": "Safety"},
    {"name": "correctness", "use": "Correctness"},
    {"name": "fluency", "use": "Fluency"},
    {"name": "response_length", "use": "ResponseLength", "max_length": 20},
    {"name": "text_judge", "make_judge": {"instructions": "Is {{ outputs }} a good answer to {{ inputs }}?"}},
    {"name": "expecting", "make_judge": {"instructions": "Does {{ outputs }} meet {{ expectations }}?"}},
    {"name": "boolean", "use": "MODULE:boolean"},
    {"name": "number", "use": "MODULE:number", "limits": [0, 1000], "pass_at": 10},
    {"name": "string", "use": "MODULE:string", "passing": ["warm"]},
    {"name": "feedback", "use": "MODULE:feedback"},
    {"name": "with_error", "use": "MODULE:with_error"},
    {"name": "raising", "use": "MODULE:raising"},
    {"name": "wrong_type", "use": "MODULE:wrong_type"},
    {"name": "several", "use": "MODULE:several"},
    {"name": "decorated", "use": "MODULE:decorated", "threshold": 5},
    {"name": "own_class", "use": "MODULE:OwnClass", "word": "Rome"},
    {"name": "registered", "registered": "kindness"},
    {"name": "answer_length", "use": "AnswerLength", "max_length": 30},
    {"name": "required", "use": "RequiredPatterns", "patterns": ["paris"]},
    {"name": "forbidden", "use": "ForbiddenPatterns", "patterns": ["sorry"]},
    {"name": "json", "use": "ValidJson"},
    {"name": "overlap", "use": "RetrievalOverlap", "at_least": 0.5},
    {"name": "refusal", "use": "Refusal"},
    {"name": "latency", "use": "Latency", "max_seconds": 60},
]


class _DigestJudge(BaseHTTPRequestHandler):
    """Says yes or no by the digest of the messages, and gives the digest as its rationale."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        content = json.dumps({"result": "yes" if int(digest[0], 16) % 2 else "no", "rationale": f"asked {digest}"})
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def judge_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeSettings]:
    """A digest judge that all judges of the process ask, undone afterwards."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _DigestJudge)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    for name in ("OPENAI_API_BASE", "OPENAI_API_KEY", "MLFLOW_GENAI_JUDGE_DEFAULT_MODEL", "MLFLOW_MODEL_CATALOG_URI"):
        monkeypatch.setenv(name, "to be overwritten")
    monkeypatch.setenv("MLFLOW_GATEWAY_ROUTE_TIMEOUT_SECONDS", "60")
    monkeypatch.setenv("MLFLOW_GENAI_EVAL_MAX_WORKERS", "2")
    settings = JudgeSettings(base_url=f"http://127.0.0.1:{server.server_port}/v1", model="scripted", retries=0)
    configure_judge(settings)
    yield settings
    release_judge_calls()
    server.shutdown()
    server.server_close()


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[str]:
    """An experiment in a store of its own."""
    with tracking(f"sqlite:///{tmp_path / 'mlflow.db'}"):
        experiment_id: str = mlflow.set_experiment("parity").experiment_id
        yield experiment_id


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module with the user's scorers in the working directory."""
    (tmp_path / "parity_scorers.py").write_text(USER_CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield "parity_scorers"
    sys.modules.pop("parity_scorers", None)


def _stored_trace(experiment_id: str, outputs: Any, retrievers: int, expectations: dict[str, Any]) -> Trace:
    """A trace that MLflow itself recorded and gives back from its store."""
    with mlflow.start_span("app", span_type=SpanType.CHAIN) as root:
        root.set_inputs({"question": "What is the capital of France?"})
        for number in range(retrievers):
            with mlflow.start_span("retrieve", span_type=SpanType.RETRIEVER) as span:
                span.set_inputs({"query": "capital"})
                span.set_outputs([Document(page_content=f"Paris is the capital of France ({number}).", id=str(number))])
        root.set_outputs(outputs)
    mlflow.flush_trace_async_logging()
    for name, value in expectations.items():
        mlflow.log_expectation(trace_id=root.trace_id, name=name, value=value)
    trace = mlflow.get_trace(root.trace_id)
    assert trace is not None
    assert trace.info.experiment_id == experiment_id
    return trace


def _evaluated(trace: Trace, suite: ScorerSuite) -> dict[str, list[Feedback]]:
    """What mlflow.genai.evaluate logs for the stored trace, by the configured name of the scorer."""
    with mlflow.start_run() as run:
        mlflow.genai.evaluate(data=[trace], scorers=[configured.scorer for configured in suite])
    stored = mlflow.get_trace(trace.info.trace_id)
    assert stored is not None
    found: dict[str, list[Feedback]] = {}
    for assessment in stored.info.assessments:
        if (
            isinstance(assessment, Feedback)
            and (assessment.metadata or {})["mlflow.assessment.sourceRunId"] == run.info.run_id
        ):
            found.setdefault(assessment.name, []).append(assessment)
    return found


def _told(feedback: Feedback) -> tuple[Any, Any, Any]:
    return feedback.value, feedback.rationale, feedback.error and feedback.error.error_message


@pytest.mark.parametrize(
    ("outputs", "retrievers", "expectations"),
    [
        ("Paris.", 1, {"expected_facts": ["Paris is the capital"]}),
        ({"answer": "I'm sorry, I cannot help with that; I would have to say Berlin."}, 0, {}),
        (["Paris", {"sure": True}], 2, {"tone": "warm"}),
    ],
    ids=["text with expectations", "object without retrieval", "list with two retrievers"],
)
def test_suite_and_evaluate_agree_on_every_kind_of_scorer(
    experiment: str,
    judge_settings: JudgeSettings,
    user_module: str,
    *,
    outputs: Any,
    retrievers: int,
    expectations: dict[str, Any],
) -> None:
    """Value, rationale and error (or none) are the same, for judges, code, registered scorers and heuristics."""
    Guidelines(name="kindness", guidelines="Be kind.", model=judge_settings.model_uri).register(
        experiment_id=experiment
    )
    configured = [json.loads(json.dumps(entry).replace("MODULE", user_module)) for entry in SCORERS]
    registry = MlflowScorerRegistry(experiment)
    suite = ScorerSuite([build_scorer(ScorerSettings(**entry), judge_settings, registry) for entry in configured])
    trace = _stored_trace(experiment, outputs, retrievers, expectations)

    ours = {scorer.name: suite.score(scorer, trace) for scorer in suite}
    theirs = _evaluated(trace, suite)

    assert set(theirs) == set(ours)
    for name, outcome in ours.items():
        assert _told(outcome.feedback) == _told(one_feedback(name, theirs[name])), name
        if len(theirs[name]) == 1:
            assert _told(outcome.feedback) == _told(theirs[name][0]), name
        assert (outcome.feedback.error is not None) <= (outcome.verdict.label == "error"), name
        assert outcome.feedback.source.source_type == theirs[name][0].source.source_type, name
    assert {"pass", "fail", "error"} == {outcome.verdict.label for outcome in ours.values()}
    assert (ours["correctness"].verdict.label == "error") == ("expected_facts" not in expectations)
    assert len(theirs.get("retrieval_groundedness", [])) == max(1, retrievers)


def test_a_scorer_that_returns_nothing_differs_on_purpose(
    experiment: str, judge_settings: JudgeSettings, user_module: str
) -> None:
    """Evaluate logs nothing for None; the daemon owes every sampled trace a verdict and says that there is none."""
    settings = ScorerSettings(name="nothing", use=f"{user_module}:nothing")
    suite = ScorerSuite([build_scorer(settings, judge_settings)])
    trace = _stored_trace(experiment, "Paris", 0, {})
    assert _evaluated(trace, suite) == {}
    assert suite.score("nothing", trace).verdict.label == "error"
