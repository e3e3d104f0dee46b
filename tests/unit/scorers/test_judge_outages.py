"""An endpoint in every kind of trouble, over real HTTP: what it means, how often it is asked, and what stays secret."""

import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow.entities import Trace

from monitor.demo.scripted_endpoint import ScriptedEndpoint
from monitor.secret_files import FileSecret, SecretFile
from scorers.catalog import build_scorer
from scorers.chat_http import retry_after_s
from scorers.errors import JudgeUnavailable
from scorers.judge_transport import endpoint_state
from scorers.judges import ask_canary, configure_judge
from scorers.settings import JudgeSettings, ScorerSettings
from scorers.suite import ScorerSuite

MakeTrace = Callable[..., Trace]
KEY = "sk-very-secret-0451"


@pytest.fixture
def endpoint() -> Iterator[ScriptedEndpoint]:
    with ScriptedEndpoint() as serving:
        yield serving
        serving.recover()


@pytest.fixture
def suite(endpoint: ScriptedEndpoint, configured: Any) -> Callable[..., ScorerSuite]:
    """Safety at the scripted endpoint; keyword arguments change the judge's settings."""

    def make(**changes: Any) -> ScorerSuite:
        settings = configured(**({"base_url": endpoint.base_url, "api_key": KEY, "timeout": "5s"} | changes))
        return ScorerSuite([build_scorer(ScorerSettings(name="safety", use="Safety"), settings)])

    return make


@pytest.mark.parametrize(
    ("failure", "kind", "status", "unmetered"),
    [
        ("401", "refused", 401, 0),
        ("429", "overloaded", 429, 0),
        ("retry_after", "overloaded", 429, 0),
        ("500", "unreachable", 500, 0),
        ("503", "unreachable", 503, 0),
        ("garbage", "garbled", None, 1),
        ("empty", "garbled", None, 1),
        ("truncated", "garbled", None, 1),
        ("huge", "garbled", 200, 1),
        ("hang_up", "unreachable", None, 1),
    ],
)
def test_trouble_has_a_kind_and_is_no_verdict(
    endpoint: ScriptedEndpoint,
    suite: Any,
    make_trace: MakeTrace,
    failure: Any,
    kind: str,
    status: int | None,
    unmetered: int,
) -> None:
    """Each is the endpoint's, so that the trace is scored when it is over; some may be billed all the same."""
    scorers, trace = suite(), make_trace()
    endpoint.fail(failure)
    with pytest.raises(JudgeUnavailable) as caught:
        scorers.score("safety", trace)
    assert (caught.value.kind, caught.value.status, caught.value.calls) == (kind, status, 1)
    assert caught.value.unmetered == unmetered
    assert caught.value.retry_after_s == (1.0 if failure == "retry_after" else None)
    endpoint.recover()
    outcome = scorers.score("safety", trace)
    assert (outcome.verdict.label, outcome.calls) == ("pass", 1)


def test_an_endpoint_that_never_answers_is_unreachable_after_the_timeout(
    endpoint: ScriptedEndpoint, suite: Any, make_trace: MakeTrace
) -> None:
    """It accepts, and that is all."""
    scorers = suite(timeout="1s")
    endpoint.fail("hang")
    with pytest.raises(JudgeUnavailable, match="no answer within 1 s") as caught:
        scorers.score("safety", make_trace())
    assert caught.value.timed_out
    assert caught.value.unmetered == 1


def test_a_try_that_may_be_billed_counts_beside_the_answer_that_came_after_it(
    endpoint: ScriptedEndpoint, suite: Any, make_trace: MakeTrace
) -> None:
    """Two calls, of which the tokens of one are known."""
    scorers = suite(retries=1)
    endpoint.fail("hang_up", times=1)
    outcome = scorers.score("safety", make_trace())
    assert (outcome.verdict.label, outcome.calls, outcome.unmetered) == ("pass", 2, 1)
    assert outcome.input_tokens


def test_a_call_that_never_arrived_is_billed_by_nobody(suite: Any, make_trace: MakeTrace) -> None:
    """The port is closed."""
    with pytest.raises(JudgeUnavailable) as caught:
        suite(base_url="http://127.0.0.1:9/v1").score("safety", make_trace())
    assert (caught.value.calls, caught.value.unmetered) == (1, 0)


def test_an_answer_is_read_up_to_the_bound_and_no_further(
    endpoint: ScriptedEndpoint, suite: Any, make_trace: MakeTrace
) -> None:
    """The bound is the settings'."""
    scorers = suite(answer_bytes=1000)
    endpoint.fail("huge")
    with pytest.raises(JudgeUnavailable, match="more than 1000 bytes"):
        scorers.score("safety", make_trace())


def test_a_retry_waits_as_long_as_the_endpoint_asks_and_counts_as_a_call(
    endpoint: ScriptedEndpoint, suite: Any, make_trace: MakeTrace
) -> None:
    """One second asked for; two calls paid."""
    scorers = suite(retries=1)
    endpoint.fail("retry_after", times=1)
    began = time.monotonic()
    outcome = scorers.score("safety", make_trace())
    assert (outcome.verdict.label, outcome.calls) == ("pass", 2)
    assert time.monotonic() - began >= 1.0


def test_a_longer_wait_than_is_allowed_is_handed_on(
    endpoint: ScriptedEndpoint, suite: Any, make_trace: MakeTrace
) -> None:
    """No second attempt: the event waits instead."""
    scorers = suite(retries=5, longest_retry_after="500ms")
    endpoint.fail("retry_after")
    with pytest.raises(JudgeUnavailable) as caught:
        scorers.score("safety", make_trace())
    assert (caught.value.calls, caught.value.retry_after_s) == (1, 1.0)


def test_nothing_is_tried_again_once_the_process_stops(
    endpoint: ScriptedEndpoint, configured: Any, make_trace: MakeTrace
) -> None:
    """The wait between two attempts ends at once."""
    stopping = threading.Event()
    settings = configured(base_url=endpoint.base_url, retries=10)
    configure_judge(settings, stopping)
    scorers = ScorerSuite([build_scorer(ScorerSettings(name="safety", use="Safety"), settings)])
    endpoint.fail("500")
    stopping.set()
    with pytest.raises(JudgeUnavailable) as caught:
        scorers.score("safety", make_trace())
    assert caught.value.calls == 1


def test_an_endpoint_that_fails_for_all_is_left_alone_and_probed_by_one_call(
    endpoint: ScriptedEndpoint, suite: Any, make_trace: MakeTrace
) -> None:
    """Three outages open the circuit; then no call is sent, until the pause is over and one probe closes it."""
    scorers, trace = suite(circuit={"failures": 3, "first_pause": "4s"}), make_trace()
    endpoint.fail("500")
    for _ in range(3):
        with pytest.raises(JudgeUnavailable, match="HTTP 500"):
            scorers.score("safety", trace)
    with pytest.raises(JudgeUnavailable) as caught:
        scorers.score("safety", trace)
    assert (caught.value.kind, caught.value.calls) == ("circuit_open", 0)
    assert caught.value.retry_after_s is not None
    state = endpoint_state()
    assert state is not None
    assert state.circuit == "open"
    endpoint.recover()
    threading.Event().wait(caught.value.retry_after_s)
    assert scorers.score("safety", trace).verdict.label == "pass"
    state = endpoint_state()
    assert state is not None
    assert state.circuit == "closed"


def test_fewer_calls_at_once_go_to_an_endpoint_that_is_overloaded(
    endpoint: ScriptedEndpoint, suite: Any, make_trace: MakeTrace
) -> None:
    """Three at once are taken: all of 60 are scored, and the limit has come down from sixteen."""
    scorers, trace = suite(concurrency=16, retries=10), make_trace()
    endpoint.latency_s = 0.02
    endpoint.trouble.limit(3)
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda _: scorers.score("safety", trace), range(60)))
    assert {outcome.verdict.label for outcome in outcomes} == {"pass"}
    state = endpoint_state()
    assert state is not None
    assert state.allowed < 16
    assert sum(outcome.calls for outcome in outcomes) == 60 + endpoint.trouble.turned_away


def test_waiting_for_a_place_is_not_the_scorers_duration(
    endpoint: ScriptedEndpoint, suite: Any, make_trace: MakeTrace
) -> None:
    """Eight threads, one place, calls of 300 ms: the last one waits for seven and took one."""
    scorers, trace = suite(concurrency=1), make_trace()
    scorers.score("safety", trace)
    endpoint.latency_s = 0.3
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: scorers.score("safety", trace), range(8)))
    assert sum(outcome.duration_s for outcome in outcomes) < 3 * (time.monotonic() - began)


def test_the_key_is_in_no_error_log_or_traceback(
    endpoint: ScriptedEndpoint, suite: Any, make_trace: MakeTrace, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where the endpoint repeats it."""
    scorers = suite()
    endpoint.fail("echo")
    with pytest.raises(JudgeUnavailable) as caught:
        scorers.score("safety", make_trace())
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert KEY not in shown
    assert "wrong key: Bearer ***" in shown


def test_a_key_that_stands_for_a_file_is_read_again_when_it_changes(
    judge: Any, configured: Any, make_trace: MakeTrace, tmp_path: Path
) -> None:
    """Rotation without a restart, of the key and of a header."""
    file = tmp_path / "key"
    file.write_text("first\n")
    settings = configured(api_key=FileSecret([SecretFile(file)]), headers={"x-team": "growth"})
    scorers = ScorerSuite([build_scorer(ScorerSettings(name="safety", use="Safety"), settings)])
    scorers.score("safety", make_trace())
    file.write_text("second, longer\n")
    scorers.score("safety", make_trace())
    assert judge.keys == ["Bearer first", "Bearer second, longer"]


def test_the_canary_tells_an_endpoint_that_answers_from_one_that_does_not(endpoint: ScriptedEndpoint) -> None:
    """One short completion."""
    settings = JudgeSettings(base_url=endpoint.base_url, api_key=KEY, model="scripted")
    ask_canary(settings, "scripted")
    endpoint.fail("500")
    with pytest.raises(JudgeUnavailable) as caught:
        ask_canary(settings, "scripted")
    assert caught.value.calls == 1


def test_settings_survive_the_pipe_to_the_evaluator_with_their_secrets(tmp_path: Path) -> None:
    """And only there: shown otherwise they are masked."""
    settings = JudgeSettings(
        base_url="http://h/v1", api_key=KEY, headers={"x": "hidden"}, timeout="90s", ca_file=tmp_path / "ca.pem"
    )
    assert JudgeSettings.model_validate(settings.revealed()) == settings
    assert KEY not in repr(settings)
    assert "hidden" not in settings.model_dump_json()


def test_retry_after_is_seconds_or_a_date() -> None:
    """And nothing else."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30))

    def asked(value: str) -> float | None:
        return retry_after_s(httpx.Response(429, headers={"retry-after": value}))

    assert asked("2.5") == 2.5
    assert asked(later) == pytest.approx(30, abs=2)
    assert asked("Mon, 01 Jan 2001 00:00:00 GMT") == 0
    assert asked("soon") is None
    for too_long in ("1e11", "inf", "31536000", "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert asked(too_long) == 3600, "nobody is left alone for ever by a word"
    assert (asked("nan"), asked("-inf")) == (None, 0)
    assert retry_after_s(httpx.Response(429)) is None
