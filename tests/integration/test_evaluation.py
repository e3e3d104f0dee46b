"""Evaluations on a real MLflow store with real child processes, and a version behind real HTTP."""

import json
import os
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow_stores import tracking

from monitor.evaluation.candidate import FunctionCandidate
from monitor.evaluation.errors import CandidateUnavailable, EvaluationCancelled, EvaluatorFailed, RunNotFound
from monitor.evaluation.evaluator import EvaluationRequest, EvaluationRow
from monitor.evaluation.http_candidate import HttpCandidate
from monitor.evaluation.settings import VersionSettings
from monitor.evaluation.subprocess_evaluator import SubprocessEvaluator
from scorers.settings import JudgeSettings, ScorerSettings

SECRET = "parents-secret-9b1f"
JUDGE_KEY = "judges-secret-77aa"

APPS = """
import collections, os, sys, subprocess, time, pathlib
import mlflow
from mlflow.entities import Document

print("noise while importing")

@mlflow.trace(span_type="RETRIEVER")
def look_up(q):
    return [Document(page_content=f"all about {q}", metadata={"doc_uri": "doc-1"}, id="1")]

@mlflow.trace(name="reply")
def steady(q):
    mlflow.update_current_trace(tags={"shop": "yes"})
    look_up(q)
    if q == "environment":
        return {"text": "hello " + repr(dict(os.environ))}
    return {"text": "hello " + q}

async def moody(q):
    print("noise", flush=True)
    os.write(1, b"more noise")
    if q == "raise":
        raise ValueError("out of order")
    if q == "leave":
        sys.exit(3)
    if q == "hang":
        child = subprocess.Popen(["sleep", "600"])
        pathlib.Path(os.environ["PIDS"]).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    if q == "greed":
        hoard = [bytearray(64 << 20) for _ in range(200)]
    if q == "exit":
        os._exit(7)
    return {"text": "sorry " + q}

def autologged(q):
    mlflow.openai.autolog()
    from openai import OpenAI
    client = OpenAI(base_url=os.environ["CHAT_URL"], api_key="none", max_retries=0)
    said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": q}])
    return {"text": said.choices[0].message.content}

def settled(q):
    mlflow.set_experiment("of-my-own")
    return {"text": q}

def sorry(q):
    return {"text": "sorry " + q}

def counted(q):
    return {"text": "hello " + q, "process": os.getpid()}

def greets(outputs):
    return outputs["text"].startswith("hello")

calls = collections.Counter()

def wavers(inputs):
    calls[inputs["q"]] += 1
    if inputs["q"] == "3" and calls["3"] % 2:
        raise RuntimeError("cannot look now")
    return inputs["q"] != "5" or calls["5"] % 2 == 0

def depth(outputs):
    return 9 if outputs["text"].startswith("hello") else 0

def squeamish(inputs):
    if inputs["q"] == "two":
        raise RuntimeError("cannot look at two")
    return True
"""

QUESTIONS = ("one", "raise", "hang", "greed", "exit", "leave", "environment", "two")


class _Endpoint(BaseHTTPRequestHandler):
    """Answers rows at /answer, chat at /v1/chat/completions, and rows at /broken with what is no answer."""

    seen: list[tuple[dict, dict]]

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((dict(self.headers), body))
        status, answer = 200, {}
        if self.path == "/answer":
            q = body["inputs"]["q"]
            answer = {"outputs": {"text": f"hello {q}"}, "retrieved": [{"page_content": q, "doc_uri": "http"}]}
            status = 503 if q == "raise" else 200
            if q == "hang":
                time.sleep(8)
        elif self.path == "/v1/chat/completions":
            message = {"role": "assistant", "content": "hello there"}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
            answer = {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            }
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        try:
            self.wfile.write(text)
        except OSError:
            self.close_connection = True

    def log_message(self, *_args):
        """Say nothing."""


@pytest.fixture(scope="module")
def endpoint():
    """The address of a server for rows and chat."""
    _Endpoint.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, endpoint):
    """A folder with the applications, on the path of all children."""
    path = tmp_path_factory.mktemp("evaluation")
    (path / "evaluated_apps.py").write_text(APPS)
    (path / "broken_app.py").write_text("import no_such_package")
    (path / "leaving_app.py").write_text("import os; os._exit(5)")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), str(path)]))
        patch.setenv("SHOP_DATABASE_PASSWORD", SECRET)
        patch.setenv("PIDS", str(path / "pids"))
        patch.setenv("CHAT_URL", f"{endpoint}/v1")
        yield path


@pytest.fixture(scope="module")
def store_uri(folder):
    """A copied MLflow store."""
    from tests.mlflow_stores import copy_store

    return copy_store(folder / "store" / "mlflow.db")


def make_request(versions: dict[str, VersionSettings], questions=QUESTIONS, **changes) -> EvaluationRequest:
    """A request over the questions; the first version is the baseline."""
    values = {
        "id": "evaluation-1",
        "dataset": "production",
        "digest": "d" * 64,
        "rows": tuple(
            EvaluationRow(inputs={"q": q}, record_id=f"record-{q}", expectations={"expected_response": q})
            for q in questions
        ),
        "baseline": next(iter(versions)),
        "versions": versions,
        "scorers": (
            ScorerSettings(name="greets", use="evaluated_apps:greets"),
            ScorerSettings(name="squeamish", use="evaluated_apps:squeamish"),
            ScorerSettings(name="no_refusal", use="Refusal"),
        ),
        "judge": JudgeSettings(base_url="http://127.0.0.1:9/v1", api_key=JUDGE_KEY),
    }
    return EvaluationRequest(**{**values, **changes})


@pytest.fixture(scope="module")
def evaluated(store_uri, endpoint):
    """One evaluation of four versions: steady, moody, behind HTTP, and one that cannot be imported."""
    versions = {
        "v1": VersionSettings(function="evaluated_apps:steady"),
        "v2": VersionSettings(function="evaluated_apps:moody", timeout="6s", memory="192MiB", environment=("PIDS",)),
        "v3": VersionSettings(url=f"{endpoint}/answer", timeout="6s", headers={"authorization": "Bearer t0ken"}),
        "v4": VersionSettings(function="broken_app:answer"),
    }
    events = []
    evaluator = SubprocessEvaluator(tracking_uri=store_uri, experiment="shop", timeout=timedelta(minutes=15))
    result = evaluator.evaluate(make_request(versions), events.append)
    return result, events


def _changed(result, version: str, scorer: str) -> dict[str, dict]:
    rows = result.comparisons[version]["pass_to_fail"]
    return {row["inputs"]["q"]: row for row in rows if row["scorer"] == scorer}


def _metric(result, version: str, scorer: str) -> dict:
    return next(metric for metric in result.comparisons[version]["metrics"] if metric["scorer"] == scorer)


def _assert_gone(folder: Path) -> None:
    states = [Path(f"/proc/{pid}/stat") for pid in (folder / "pids").read_text().split()]
    assert len(states) == 2
    assert all(not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z" for state in states)


def test_each_mishap_costs_its_own_row_and_no_other(evaluated):
    """Raising, hanging, hoarding, leaving and dying are failures of five rows; the other three were answered."""
    result, _ = evaluated
    failed = _changed(result, "v2", "no_refusal")
    causes = {q: failed[q]["candidate"]["rationale"] for q in ("raise", "hang", "greed", "exit", "leave")}
    assert "ValueError: out of order" in causes["raise"]
    assert "no answer within 6 s" in causes["hang"]
    assert "memory limit" in causes["greed"]
    assert "exit code 7" in causes["exit"]
    assert "SystemExit" in causes["leave"]
    assert result.runs["v2"].failed_rows == 5
    answered = _changed(result, "v2", "greets")
    assert answered["one"]["candidate"]["outputs"] == {"text": "sorry one"}
    assert _metric(result, "v2", "greets")["candidate"] == 0
    assert _metric(result, "v2", "greets")["n_paired"] == 8


@pytest.mark.usefixtures("evaluated")
def test_what_hung_is_gone_with_all_that_it_had_started(folder):
    """Neither the worker nor its own child outlives the row."""
    _assert_gone(folder)


def test_a_scorers_error_drops_its_pair_and_is_counted(evaluated):
    """One row that the scorer cannot judge, for both versions."""
    result, _ = evaluated
    metric = _metric(result, "v3", "squeamish")
    assert metric["errors"] == {"baseline": 1, "candidate": 1}
    assert metric["n_paired"] == 7


def test_a_candidate_sees_no_secret_of_its_parents(evaluated):
    """Neither the daemon's variables nor the judge's key are in the candidate's environment."""
    result, _ = evaluated
    printed = _changed(result, "v2", "greets")["environment"]["baseline"]["outputs"]["text"]
    assert "PATH" in printed
    assert SECRET not in printed
    assert JUDGE_KEY not in printed


def test_a_candidate_that_cannot_be_imported_stops_nobody_else(evaluated):
    """Its cause is told, and it has no comparison."""
    result, _ = evaluated
    assert "no_such_package" in result.unavailable["v4"]
    assert set(result.comparisons) == {"v2", "v3"}


def test_an_endpoint_is_asked_as_part_of_an_evaluation(evaluated):
    """W3C context, the run's id in header and baggage, the configured headers; its errors are its rows' failures."""
    result, _ = evaluated
    requests = [(headers, body) for headers, body in _Endpoint.seen if "inputs" in body]
    assert len(requests) == len(QUESTIONS)
    run_id = result.runs["v3"].run_id
    for headers, _body in requests:
        assert headers["tracewatch-evaluation"] == run_id
        assert headers["baggage"] == f"tracewatch-evaluation={run_id}"
        assert headers["traceparent"].startswith("00-")
        assert headers["authorization"] == "Bearer t0ken"
    failed = _changed(result, "v3", "greets")
    assert set(failed) == {"raise", "hang"}
    assert "503" in failed["raise"]["candidate"]["rationale"]
    assert "timeout" in failed["hang"]["candidate"]["rationale"]


def test_each_version_has_a_named_run_with_its_rows_frozen_in_it(evaluated, store_uri):
    """Name, tags, artifacts; the page is kept in the candidate's run."""
    from mlflow.tracking import MlflowClient

    result, _ = evaluated
    client = MlflowClient(store_uri)
    for version in ("v1", "v2", "v3"):
        run = client.get_run(result.runs[version].run_id)
        assert run.info.run_name == version
        assert run.info.status == "FINISHED"
        assert run.data.tags["tracewatch.version"] == version
        assert run.data.tags["tracewatch.dataset"] == "production"
        assert run.data.tags["tracewatch.digest"] == "d" * 64
        names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
        reports = {"comparison.json", "comparison.csv", "comparison.html"}
        assert {"rows.json", "scorers.json"} <= names
        assert reports <= names if version != "v1" else not reports & names
    assert client.get_run(result.runs["v1"].run_id).data.metrics["greets/mean"] == 1
    frozen = json.loads(
        Path(client.download_artifacts(result.runs["v1"].run_id, "rows.json")).read_text(encoding="utf-8")
    )
    assert [row["inputs"]["q"] for row in frozen["rows"]] == list(QUESTIONS)
    (abandoned,) = client.search_runs([run.info.experiment_id], "tags.`tracewatch.version` = 'v4'")
    assert abandoned.info.status == "FAILED"


def test_stored_traces_look_as_in_production(evaluated, store_uri):
    """The traced function's own root, its RETRIEVER span and its tags are there; the run and the record are named."""
    from mlflow.tracking import MlflowClient

    result, _ = evaluated
    client = MlflowClient(store_uri)
    row = _changed(result, "v2", "greets")["one"]
    trace = client.get_trace(row["baseline"]["trace_id"])
    root = trace.data._get_root_span()
    assert (root.name, root.inputs, root.outputs) == ("reply", {"q": "one"}, {"text": "hello one"})
    (retriever,) = trace.search_spans(span_type="RETRIEVER")
    assert retriever.outputs[0]["page_content"] == "all about one"
    assert trace.info.tags["shop"] == "yes"
    assert trace.info.tags["tracewatch.record_id"] == "record-one"
    assert trace.info.trace_metadata["mlflow.sourceRun"] == result.runs["v1"].run_id
    http = _changed(result, "v3", "greets")["raise"]
    assert client.get_trace(http["candidate"]["trace_id"]).info.state == "ERROR"


def test_the_stored_runs_compare_to_the_same_object(evaluated, store_uri):
    """`compare` reads from MLflow what the evaluation said."""
    from monitor.evaluation.comparison import compare_runs
    from monitor.evaluation.comparison_json import comparison_json
    from monitor.evaluation.mlflow_runs import load_run

    result, _ = evaluated
    runs = [load_run(result.runs[version].run_id, store_uri) for version in ("v1", "v2")]
    assert comparison_json(compare_runs(*runs, margin=0.05)) == result.comparisons["v2"]


def test_progress_counts_rows_to_the_end(evaluated):
    """For every version that runs, both bars end full, and never go back."""
    _, events = evaluated
    assert (events[0].stage, events[-1].stage) == ("starting", "finished")
    for version in ("v1", "v2", "v3"):
        for stage in ("answered", "scored"):
            done = [event.done for event in events if (event.stage, event.version) == (stage, version)]
            assert done == sorted(done)
            assert done[-1] == len(QUESTIONS)


@pytest.fixture(scope="module")
def stopped(store_uri, endpoint):
    """Twenty rows in batches of ten, each answer judged twice: a version that fails, and one like the baseline."""
    one_worker = {"function": "evaluated_apps:counted", "concurrency": 1}
    versions = {
        "v1": VersionSettings(**one_worker),
        "v2": VersionSettings(function="evaluated_apps:sorry"),
        "v3": VersionSettings(url=f"{endpoint}/answer"),
    }
    scorers = (
        ScorerSettings(name="greets", use="evaluated_apps:greets"),
        ScorerSettings(name="wavers", use="evaluated_apps:wavers"),
        ScorerSettings(name="depth", use="evaluated_apps:depth", limits=(0, 10), pass_at=5),
    )
    request = make_request(
        versions,
        [str(index) for index in range(20)],
        scorers=scorers,
        repeats=2,
        early_stop=True,
        batch_rows=10,
    )
    events = []
    evaluator = SubprocessEvaluator(tracking_uri=store_uri, experiment="stopped", timeout=timedelta(minutes=15))
    return evaluator.evaluate(request, events.append), events


def test_a_settled_candidate_is_asked_no_further_while_the_others_go_on(stopped):
    """The failing version stops after one batch; the other one runs all rows, and is decided by evidence as well."""
    result, events = stopped
    bad, like = result.comparisons["v2"], result.comparisons["v3"]
    assert {metric["scorer"]: metric["verdict"] for metric in bad["metrics"]} == {
        "greets": "regressed", "wavers": "inconclusive", "depth": "regressed",
    }  # fmt: skip
    told = {key: bad["early_stop"][key] for key in ("stopped", "rows", "planned", "answers_saved")}
    assert told == {"stopped": True, "rows": 10, "planned": 20, "answers_saved": 10}
    assert (like["early_stop"]["stopped"], like["dataset"]["rows"], like["regressed"]) == (False, 20, False)
    assert "removed" not in bad
    answered = {version: max(event.done for event in events if event.version == version) for version in result.runs}
    assert answered == {"v1": 20, "v2": 10, "v3": 20}


def test_a_graded_scorers_means_are_compared(stopped):
    """0.9 against 0 on ten rows, and every row turned from pass to fail."""
    result, _ = stopped
    depth = _metric(result, "v2", "depth")
    assert (depth["measure"], depth["n_paired"], depth["pass_to_fail"]) == ("mean_score", 10, 10)
    assert (depth["baseline"], depth["candidate"], depth["difference"]) == pytest.approx((0.9, 0, -0.9))


def test_each_repeat_is_kept_and_the_scorers_agreement_with_itself_told(stopped, store_uri):
    """Two marked feedbacks a scorer, expectations once; the row that wavers is half a pass."""
    from mlflow.tracking import MlflowClient

    result, _ = stopped
    wavers = _metric(result, "v3", "wavers")
    assert result.comparisons["v3"]["repeats"] == 2
    assert wavers["self_agreement"] == pytest.approx(36 / 38)
    assert (wavers["errors"], wavers["n_paired"]) == ({"baseline": 0, "candidate": 0}, 20)
    assert wavers["repeat_errors"] == {"baseline": 1, "candidate": 1}
    assert wavers["candidate"] == pytest.approx(19.5 / 20)
    assert _metric(result, "v3", "greets")["self_agreement"] == 1
    client = MlflowClient(store_uri)
    run = client.get_run(result.runs["v3"].run_id)
    assert run.data.metrics["wavers/mean"] == pytest.approx(19.5 / 20)
    assert run.data.metrics["depth/mean"] == pytest.approx(9)
    traces = client.search_traces(locations=[run.info.experiment_id], run_id=run.info.run_id, max_results=50)
    assert len(traces) == 20
    for trace in traces:
        said = [each for each in trace.info.assessments if each.name == "greets"]
        assert sorted(each.metadata["tracewatch.repeat"] for each in said) == ["0", "1"]
        assert sum(each.name == "expected_response" for each in trace.info.assessments) == 1


def test_a_version_keeps_its_process_from_batch_to_batch(stopped, store_uri):
    """One worker has answered the rows of both batches: nothing was imported twice."""
    from monitor.evaluation.mlflow_runs import load_run

    result, _ = stopped
    rows = load_run(result.runs["v1"].run_id, store_uri).rows
    assert len(rows) == 20
    assert len({row.outputs["process"] for row in rows}) == 1


def test_runs_that_stopped_early_compare_to_the_same_object(stopped, store_uri):
    """Whoever compares them later goes by the evidence too, in the same order of rows."""
    from monitor.evaluation.comparison import compare_runs
    from monitor.evaluation.comparison_json import comparison_json
    from monitor.evaluation.mlflow_runs import load_run

    result, _ = stopped
    runs = {version: load_run(result.runs[version].run_id, store_uri) for version in result.runs}
    for version in ("v2", "v3"):
        again = comparison_json(compare_runs(runs["v1"], runs[version], margin=0.05))
        assert again["metrics"] == result.comparisons[version]["metrics"]
        assert again["early_stop"] == result.comparisons[version]["early_stop"]


@pytest.mark.usefixtures("folder")
def test_autologged_spans_survive_whatever_the_application_sets():
    """An OpenAI call is a span of the trace; an application that sets an experiment keeps its trace."""
    from mlflow.entities import Trace

    rows = [EvaluationRow(inputs={"q": "hi"})]
    kinds = {}
    for function in ("autologged", "settled"):
        settings = VersionSettings(function=f"evaluated_apps:{function}", environment=("CHAT_URL",), concurrency=1)
        candidate = FunctionCandidate("v", settings)
        try:
            (answer,) = candidate.answer(rows, "run")
        finally:
            candidate.close()
        assert answer.failure is None
        kinds[function] = [span.span_type for span in Trace.from_json(answer.trace_json).data.spans]
    assert kinds == {"autologged": ["CHAIN", "CHAT_MODEL"], "settled": ["CHAIN"]}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("leaving_app:answer", "exit code 5"),
        ("evaluated_apps:absent", "absent"),
        ("evaluated_apps:SECRET", "SECRET"),
    ],
)
def test_a_function_that_is_not_there_is_told_apart_from_failures(function, words):
    """No row is blamed on the application when the configuration names the wrong thing."""
    candidate = FunctionCandidate("v", VersionSettings(function=function))
    try:
        with pytest.raises(CandidateUnavailable, match=words):
            list(candidate.answer([EvaluationRow(inputs={"q": "one"})], "run"))
    finally:
        candidate.close()


def test_an_endpoint_that_nobody_listens_on_is_unavailable():
    """No answer to any row is not a failure of the rows."""
    candidate = HttpCandidate("v", VersionSettings(url="http://127.0.0.1:9/answer"))
    try:
        with pytest.raises(CandidateUnavailable, match="cannot be reached"):
            list(candidate.answer([EvaluationRow(inputs={"q": "one"})] * 3, "run"))
    finally:
        candidate.close()


def test_an_endpoint_that_goes_away_between_batches_fails_its_rows():
    """Once it has answered, what it does not answer is the version's failure, in a later batch as in the first."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    candidate = HttpCandidate("v", VersionSettings(url=f"http://127.0.0.1:{server.server_port}/answer"))
    rows = [EvaluationRow(inputs={"q": "one"})] * 2
    try:
        assert [answer.failure for answer in candidate.answer(rows, "run")] == [None, None]
        server.shutdown()
        server.server_close()
        thread.join()
        gone = list(candidate.answer(rows, "run"))
    finally:
        candidate.close()
    assert sorted(answer.row for answer in gone) == [0, 1]
    assert all(answer.failure is not None and answer.failure.kind == "http" for answer in gone)


def test_an_answer_without_outputs_is_invalid(endpoint):
    """What is no answer is a failure that says what was expected."""
    candidate = HttpCandidate("v", VersionSettings(url=f"{endpoint}/broken"))
    try:
        (answer,) = candidate.answer([EvaluationRow(inputs={"q": "one"})], "run")
    finally:
        candidate.close()
    assert answer.failure is not None
    assert (answer.failure.kind, '"outputs"' in answer.failure.message) == ("invalid", True)


def test_a_baseline_that_cannot_run_ends_the_evaluation_with_its_runs_closed(store_uri):
    """There is nothing to compare with, and no run is left open."""
    from mlflow.tracking import MlflowClient

    evaluator = SubprocessEvaluator(tracking_uri=store_uri, experiment="without-baseline")
    with pytest.raises(CandidateUnavailable, match="no_such_package"):
        evaluator.evaluate(make_request({"v1": VersionSettings(function="broken_app:answer")}))
    client = MlflowClient(store_uri)
    experiment = client.get_experiment_by_name("without-baseline")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]


def test_cancelling_ends_the_evaluation_and_its_processes(store_uri, folder):
    """A stop from another thread is obeyed while a row hangs, and what the row had started is gone."""
    evaluator = SubprocessEvaluator(tracking_uri=store_uri, experiment="shop")
    versions = {"v2": VersionSettings(function="evaluated_apps:moody", environment=("PIDS",))}

    versions["v2"] = versions["v2"].model_copy(update={"concurrency": 2})

    pids = folder / "pids"
    pids.unlink(missing_ok=True)

    def cancel_when_hanging() -> None:
        deadline = time.monotonic() + 20
        while not (pids.exists() and pids.read_text()) and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        evaluator.cancel()

    def watch(event) -> None:
        if event.stage == "answered" and event.done == 1:
            threading.Thread(target=cancel_when_hanging).start()

    with pytest.raises(EvaluationCancelled):
        evaluator.evaluate(make_request(versions, ("hang", "one")), watch)
    _assert_gone(folder)


def test_a_scorer_that_cannot_be_built_fails_the_evaluation_with_its_reason(store_uri):
    """The evaluator's own words come through."""
    evaluator = SubprocessEvaluator(tracking_uri=store_uri, experiment="shop")
    request = make_request(
        {"v1": VersionSettings(function="evaluated_apps:steady")}, scorers=(ScorerSettings(name="x", use="Refusall"),)
    )
    with pytest.raises(EvaluatorFailed, match="Refusal"):
        evaluator.evaluate(request)


def test_runs_that_anybody_made_compare_and_missing_ones_are_named(store_uri):
    """Two plain runs of mlflow.genai.evaluate pair by their inputs; an unknown run is an error in words."""
    import mlflow
    from mlflow.genai.scorers import scorer

    from monitor.evaluation.comparison import compare_runs
    from monitor.evaluation.comparison_json import comparison_json
    from monitor.evaluation.mlflow_runs import load_run

    @scorer
    def short(outputs) -> bool:
        return len(outputs) < 5

    run_ids = []
    with tracking(store_uri):
        mlflow.set_experiment("theirs")
        for name, text in (("old", "abc"), ("new", "abcdef")):
            data = [{"inputs": {"q": str(index)}, "outputs": text} for index in range(6)]
            with mlflow.start_run(run_name=name) as run:
                mlflow.genai.evaluate(data=data, scorers=[short])
            run_ids.append(run.info.run_id)
    value = comparison_json(compare_runs(*(load_run(run_id, store_uri) for run_id in run_ids), margin=0.05))
    assert (value["baseline"]["version"], value["candidate"]["version"]) == ("old", "new")
    assert value["dataset"]["rows"] == 6
    assert value["regressed"] is True
    assert [metric["verdict"] for metric in value["metrics"]] == ["regressed"]
    with pytest.raises(RunNotFound):
        load_run("0" * 32, store_uri)
