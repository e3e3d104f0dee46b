"""The settings of evaluations, the scrubbed environment, and the evaluator in memory."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from monitor.evaluation.answer_traces import answer_trace
from monitor.evaluation.answers import Answer, Failure
from monitor.evaluation.candidate import candidate_environment
from monitor.evaluation.errors import CandidateUnavailable
from monitor.evaluation.evaluator import EvaluationRequest, EvaluationRow
from monitor.evaluation.evaluator_task import EvaluatorTask
from monitor.evaluation.memory_evaluator import MemoryEvaluator
from monitor.evaluation.settings import EvaluationSettings, ScheduleSettings, VersionSettings
from scorers.settings import JudgeSettings, ScorerSettings


def request(**changes) -> EvaluationRequest:
    """A small request, with what a test changes."""
    values = {
        "id": "e1",
        "dataset": "production",
        "digest": "d" * 64,
        "rows": (EvaluationRow(inputs={"q": "a"}, record_id="1"), EvaluationRow(inputs={"q": "b"})),
        "baseline": "v1",
        "versions": {"v1": VersionSettings(function="a:b"), "v2": VersionSettings(function="a:c")},
        "scorers": (ScorerSettings(name="long", use="AnswerLength", max_chars=10, limits=(0, 1), pass_at=1),),
        "judge": JudgeSettings(api_key="judge-secret", timeout="7s"),
    }
    return EvaluationRequest(**{**values, **changes})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "either function or url"),
        ({"function": "a:b", "url": "http://x"}, "either function or url"),
        ({"function": "a.b"}, "package.module:function"),
        ({"url": "ftp://x"}, "http://"),
        ({"function": "a:b", "headers": {"x": "y"}}, "belong to a url"),
        ({"function": "a:b", "timeout": "0s"}, "longer than 0s"),
        ({"function": "a:b", "tiemout": "1s"}, "Extra inputs"),
    ],
)
def test_a_version_that_makes_no_sense_is_refused_in_words(values, words):
    """Every mistake names what is allowed."""
    with pytest.raises(ValidationError, match=words):
        VersionSettings(**values)


def test_defaults_and_units():
    """Durations and sizes are written with units, and a bad baseline is named."""
    version = VersionSettings(function="shop.app:answer", timeout="15s", memory="512MiB")
    assert (version.timeout, version.memory, version.concurrency) == (timedelta(seconds=15), 512 * 1024**2, 4)
    assert VersionSettings(function="a:b").memory == 1024**3
    with pytest.raises(ValidationError, match="not among the versions"):
        EvaluationSettings(baseline="v9", versions={"v1": version})
    with pytest.raises(ValidationError, match="either cron or interval"):
        ScheduleSettings()


def test_header_secrets_do_not_show():
    """A version's printed form keeps its headers' values."""
    assert "s3cret" not in repr(VersionSettings(url="http://x", headers={"authorization": "s3cret"}))


def test_only_named_variables_reach_a_candidate():
    """What is not needed by any program, and not named, is withheld."""
    parent = {"PATH": "/bin", "OPENAI_API_KEY": "secret", "DATABASE_URL": "secret", "OPENAI_BASE_URL": "http://x"}
    child = candidate_environment(["OPENAI_BASE_URL", "ABSENT"], parent, Path("/scratch"))
    assert child["PATH"] == "/bin"
    assert child["OPENAI_BASE_URL"] == "http://x"
    assert "secret" not in child.values()


def test_the_task_survives_its_journey_with_the_judges_key():
    """The evaluator's process builds the same settings from JSON."""
    task = EvaluatorTask.of(request(), "sqlite:///x.db", "shop")
    assert EvaluatorTask.from_dict(task.to_dict()) == task
    assert task.to_dict()["judge"]["api_key"] == "judge-secret"
    assert "judge-secret" not in repr(task)


def test_an_http_answer_becomes_a_trace_with_its_documents():
    """Retrieved documents are a RETRIEVER span, so that groundedness can be judged."""
    answer = Answer(
        row=0, started_ms=1_000, duration_ms=20.0, trace_id="tr-" + "ab" * 16, outputs={"a": 1},
        retrieved=({"page_content": "doc", "doc_uri": "u"},),
    )  # fmt: skip
    row = EvaluationRow(inputs={"q": "a"}, record_id="1")
    trace = answer_trace(answer, row, version="v2", run_id="run", experiment_id="5")
    assert trace.info.trace_id == "tr-" + "ab" * 16
    assert trace.info.experiment_id == "5"
    assert trace.info.trace_metadata["mlflow.sourceRun"] == "run"
    assert trace.info.tags["tracewatch.record_id"] == "1"
    (retriever,) = trace.search_spans(span_type="RETRIEVER")
    assert retriever.outputs == [{"page_content": "doc", "metadata": {"doc_uri": "u"}, "id": None}]
    assert trace.data.spans[0].outputs == {"a": 1}


def test_a_row_without_an_answer_becomes_a_trace_in_error():
    """The cause stands in its root span and in a tag."""
    answer = Answer(row=0, started_ms=1, duration_ms=3_000.0, failure=Failure(kind="timeout", message="no answer"))
    trace = answer_trace(answer, EvaluationRow(inputs={"q": "a"}), version="v2", run_id="run", experiment_id="5")
    assert trace.info.state == "ERROR"
    assert trace.info.tags["tracewatch.failure"] == "timeout: no answer"
    assert Answer.from_dict(answer.to_dict()) == answer


def _greets(_inputs, outputs) -> bool:
    return outputs.startswith("hi")


def _fails(inputs) -> str:
    if inputs["q"] == "b":
        raise ValueError("boo")
    return "hi"


def test_the_evaluator_in_memory_keeps_the_protocol():
    """Failures, errors, missing versions and progress are those of the real one."""
    versions = {name: VersionSettings(function=f"a:{name}") for name in ("v1", "v2", "v3")}
    seen = []
    evaluator = MemoryEvaluator(
        {"v1": lambda _inputs: "hi", "v2": _fails}, {"greets": _greets, "broken": lambda *_: 1 / 0}
    )
    result = evaluator.evaluate(request(versions=versions), seen.append)
    assert result.runs["v2"].metrics == {"greets": 0.5, "broken": 0.0}
    assert result.runs["v2"].failed_rows == 1
    assert set(result.comparisons) == {"v2"}
    assert set(result.unavailable) == {"v3"}
    assert (seen[0].stage, seen[-1].stage) == ("starting", "finished")
    with pytest.raises(CandidateUnavailable, match="v1"):
        MemoryEvaluator({}, {}).evaluate(request())


def test_a_request_needs_rows_and_its_baseline():
    """Nothing to compare is refused before any process starts."""
    with pytest.raises(ValueError, match="at least one row"):
        request(rows=())
    with pytest.raises(ValueError, match="baseline"):
        request(baseline="v9")
