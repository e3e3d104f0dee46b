"""Judges over real HTTP: verdicts, outages told apart from them, bounds, threads."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from mlflow.entities import Trace

from scorers.catalog import build_scorer
from scorers.errors import JudgeUnavailable, ScorerSettingsError
from scorers.judge_transport import judge_usage
from scorers.judges import check_judge
from scorers.settings import JudgeSettings, ScorerSettings
from scorers.suite import ScorerSuite, assessment_id

Configure = Callable[..., JudgeSettings]
MakeTrace = Callable[..., Trace]


def suite_of(judge: JudgeSettings, **settings: Any) -> ScorerSuite:
    """A suite of one scorer named ``s``: Safety unless told otherwise."""
    return ScorerSuite([build_scorer(ScorerSettings(**({"name": "s"} | (settings or {"use": "Safety"}))), judge)])


def test_a_judged_trace_has_verdict_rationale_tokens_and_stable_id(
    configured: Configure, judge: Any, make_trace: MakeTrace
) -> None:
    """The configured endpoint, model and key are asked once, and the feedback survives MLflow's own serialisation."""
    suite, trace = suite_of(configured()), make_trace()
    outcome = suite.score("s", trace)
    assert (outcome.verdict.label, outcome.verdict.value, outcome.feedback.rationale) == ("pass", 1.0, "it is fine")
    assert (outcome.input_tokens, outcome.output_tokens) == (11, 7)
    assert outcome.feedback.assessment_id == assessment_id(trace.info.trace_id, "s", outcome.version)
    assert len(outcome.feedback.assessment_id) <= 50
    again = type(outcome.feedback).from_dictionary(outcome.feedback.to_dictionary())
    assert (again.name, again.value, again.trace_id) == ("s", "yes", trace.info.trace_id)
    assert [request["model"] for request in judge.requests] == ["scripted"]
    assert judge.keys == ["Bearer secret-key"]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502, 503, 504])
def test_an_endpoint_in_trouble_is_unavailable_and_no_verdict(
    configured: Configure, judge: Any, make_trace: MakeTrace, status: int
) -> None:
    """Key, quota, model and server trouble say nothing about the trace."""
    suite = suite_of(configured())
    judge.status = status
    with pytest.raises(JudgeUnavailable, match="scripted trouble") as caught:
        suite.score("s", make_trace())
    assert caught.value.status == status
    assert "secret-key" not in str(caught.value)


def test_a_refused_connection_and_a_timeout_are_unavailable(
    configured: Configure, judge: Any, make_trace: MakeTrace
) -> None:
    """A closed port and a silent endpoint, each with its cause."""
    with pytest.raises(JudgeUnavailable, match=r"Connection|refused"):
        suite_of(configured(base_url="http://127.0.0.1:9/v1")).score("s", make_trace())
    judge.hold = threading.Event()
    with pytest.raises(JudgeUnavailable, match="Timeout"):
        suite_of(configured(timeout="1s")).score("s", make_trace())
    judge.hold.set()


def test_a_request_that_the_judge_refuses_is_an_error_verdict(
    configured: Configure, judge: Any, make_trace: MakeTrace
) -> None:
    """A 400 (too long a prompt, say) is about this trace: waiting would not help."""
    suite = suite_of(configured())
    judge.status = 400
    outcome = suite.score("s", make_trace())
    assert outcome.verdict.label == "error"
    assert "scripted trouble" in str(outcome.verdict.reason)


@pytest.mark.parametrize("answer", ["I think it is fine", '{"rationale": "no result"}', ""])
def test_an_unreadable_answer_is_an_error_verdict_that_was_paid_for(
    configured: Configure, judge: Any, make_trace: MakeTrace, answer: str
) -> None:
    """The judge is there but does not answer in the form asked for; its tokens count."""
    judge.answer = answer
    outcome = suite_of(configured()).score("s", make_trace())
    assert (outcome.verdict.label, outcome.feedback.value, outcome.input_tokens) == ("error", None, 11)


@pytest.mark.parametrize("usage", [None, {}, "many", {"prompt_tokens": -1, "completion_tokens": 7}])
def test_an_answer_without_its_tokens_is_one_that_may_be_billed(
    configured: Configure, judge: Any, make_trace: MakeTrace, usage: Any
) -> None:
    """Known of the score, and of the model for evaluations: it is not for nothing."""
    judge.usage = usage
    outcome = suite_of(configured()).score("s", make_trace())
    assert (outcome.verdict.label, outcome.calls, outcome.unmetered) == ("pass", 1, 1)
    assert judge_usage()["scripted"].unmetered == 1


def test_retries_are_bounded_by_the_settings(configured: Configure, judge: Any, make_trace: MakeTrace) -> None:
    """One retry is two requests, where MLflow by itself makes eleven."""
    suite = suite_of(configured(retries=1))
    judge.status = 503
    with pytest.raises(JudgeUnavailable):
        suite.score("s", make_trace())
    assert len(judge.requests) == 2


def test_an_outage_that_the_scorer_swallows_is_still_an_outage(
    configured: Configure, judge: Any, make_trace: MakeTrace
) -> None:
    """Built-in scorers ask the judge to find a missing answer, and go on without it where that fails."""
    suite = suite_of(configured())
    judge.status = 503
    with pytest.raises(JudgeUnavailable) as caught:
        suite.score("s", make_trace(outputs=None))
    assert caught.value.status == 503


def test_many_threads_score_at_once_within_the_bound(configured: Configure, judge: Any, make_trace: MakeTrace) -> None:
    """Sixteen threads, each with its own verdict and tokens, never more than three calls at the endpoint."""
    suite = suite_of(configured(concurrency=3))
    trace = make_trace()
    judge.hold, judge.hold_s = threading.Event(), 0.2
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda _: suite.score("s", trace), range(24)))
    assert {(o.verdict.label, o.input_tokens) for o in outcomes} == {("pass", 11)}
    assert len({id(o.feedback) for o in outcomes}) == 24
    assert judge.most_at_once == 3


def test_giving_up_makes_an_error_verdict_of_an_outage(configured: Configure, make_trace: MakeTrace) -> None:
    """For a trace on which the judge fails again and again while it answers for others."""
    suite, trace = suite_of(configured()), make_trace()
    outcome = suite.give_up("s", trace, JudgeUnavailable("HTTP 500", endpoint="http://e", status=500))
    assert outcome.verdict.label == "error"
    assert "HTTP 500" in str(outcome.verdict.reason)
    assert outcome.feedback.assessment_id == assessment_id(trace.info.trace_id, "s", outcome.version)


def test_a_code_scorer_that_raises_a_connection_error_is_an_error_verdict(make_trace: MakeTrace) -> None:
    """Only the judge's endpoint can make the judge unavailable."""
    outcome = suite_of(JudgeSettings(), use="RetrievalOverlap").score("s", make_trace())
    assert outcome.verdict.label == "error"
    assert "no RETRIEVER span" in str(outcome.verdict.reason)
    assert outcome.input_tokens is None


def test_make_judge_categories_and_numbers_follow_the_rules(
    configured: Configure, judge: Any, make_trace: MakeTrace
) -> None:
    """The type of the answer is asked for in the schema, and read by limits or passing."""
    judge.answer = {"result": 4, "rationale": "good"}
    text = {"instructions": "Rate {{ outputs }} from 1 to 5."}
    outcome = suite_of(configured(), make_judge=text, limits=[1, 5], pass_at=4).score("s", make_trace())
    assert (outcome.verdict.label, outcome.verdict.value) == ("pass", 0.75)
    judge.answer = {"result": "cold", "rationale": "brr"}
    tone = {"instructions": "Tone of {{ outputs }}?", "feedback_value_type": ["warm", "cold"]}
    outcome = suite_of(configured(), make_judge=tone, passing=["warm"]).score("s", make_trace())
    assert (outcome.verdict.label, outcome.feedback.value) == ("fail", "cold")


def test_two_scorers_of_one_name_are_refused() -> None:
    """Verdicts are unique by trace and scorer name."""
    scorer = build_scorer(ScorerSettings(name="s", use="Safety"), JudgeSettings())
    with pytest.raises(ScorerSettingsError, match="a name of its own"):
        ScorerSuite([scorer, scorer])


def test_check_judge_pings_and_names_the_cause(configured: Configure, judge: Any) -> None:
    """The model list is free; a wrong key and a closed port each say so."""
    settings = configured()
    assert check_judge(settings) == judge.base_url
    judge.status = 401
    with pytest.raises(JudgeUnavailable, match="key is wrong"):
        check_judge(settings)
    with pytest.raises(JudgeUnavailable, match="ConnectError"):
        check_judge(configured(base_url="http://127.0.0.1:9/v1"))


def test_an_empty_address_and_key_mean_none_and_the_key_is_not_shown() -> None:
    """`${OPENAI_BASE_URL:-}` substitutes an empty string."""
    settings = JudgeSettings(base_url="", api_key="", model="openai:/x", timeout="1m")
    assert (settings.base_url, settings.api_key, settings.model_uri) == (None, None, "openai:/x")
    assert settings.timeout.total_seconds() == 60
    assert "hidden" not in repr(JudgeSettings(api_key="hidden"))
