"""A judge that keeps failing on one trace: the trace's fault, or the endpoint's?"""

import itertools
import random

import pytest

from monitor.pipeline.blame import Failures, JudgeRecord
from scorers.errors import JudgeUnavailable

UNREACHABLE = JudgeUnavailable("refused")
MOST = 1000


def nobody() -> bool:
    """The canary of an endpoint that answers nobody."""
    return False


def tries_until_given_up(record: JudgeRecord, failures: Failures, others: tuple[int, ...]) -> int | None:
    """Between two failures one other trace is answered, after as many failures as its turn in `others` says."""
    for number in range(MOST):
        if failures.is_the_trace(UNREACHABLE):
            return number + 1
        if others:
            record.note("safety", others[number % len(others)])
    return None


def test_failures_between_answers_for_others_are_the_traces() -> None:
    """The first failure tells nothing yet: nobody was answered since."""
    record = JudgeRecord()
    assert tries_until_given_up(record, Failures(record, "safety", nobody), (0,)) == 12


def test_five_failures_are_enough_where_many_others_were_answered() -> None:
    """The more of them, the less is it chance."""
    record = JudgeRecord()
    failures = Failures(record, "safety", nobody)
    for tries in range(1, 7):
        given_up = failures.is_the_trace(UNREACHABLE)
        assert given_up == (tries == 6)
        for _ in range(20):
            record.note("safety", 0)


def test_an_endpoint_that_fails_on_others_as_well_is_tried_for_longer() -> None:
    """Where others are answered at their second or third try only, five failures in a row happen to sound traces."""
    record = JudgeRecord()
    flaky = tries_until_given_up(record, Failures(record, "safety", nobody), (1, 2))
    assert flaky is not None
    assert 15 < flaky < 50


def test_a_sound_trace_of_an_endpoint_that_fails_half_the_time_is_hardly_ever_given_up() -> None:
    """None of 20,000, though many fail ten times in a row; what is known of the endpoint is a handful of calls."""
    chance, record, given_up = random.Random(4), JudgeRecord(), 0

    def failures_before_an_answer() -> int:
        return next(number for number in itertools.count() if chance.random() < 0.5)

    for _ in range(20_000):
        failures = Failures(record, "safety", nobody)
        for _ in range(failures_before_an_answer()):
            if failures.is_the_trace(UNREACHABLE):
                given_up += 1
                break
            for _ in range(chance.randint(0, 3)):
                record.note("safety", failures_before_an_answer())
    assert given_up == 0


def test_an_outage_before_says_nothing_about_the_endpoint_of_now() -> None:
    """What others met before the trace's first try is not held against the endpoint."""
    record = JudgeRecord()
    for _ in range(100):
        record.note("safety", 50)
    assert tries_until_given_up(record, Failures(record, "safety", nobody), (0,)) == 12


def test_where_nobody_is_answered_the_trace_is_never_to_blame() -> None:
    """However often it fails."""
    record = JudgeRecord()
    failures = Failures(record, "safety", nobody)
    assert tries_until_given_up(record, failures, ()) is None
    assert failures.own == 0


def test_where_every_worker_holds_such_a_trace_the_canary_tells() -> None:
    """It is asked from the fifth failure on, and eleven of its answers are the trace."""
    record, asked = JudgeRecord(), []

    def canary() -> bool:
        asked.append(1)
        return True

    assert tries_until_given_up(record, Failures(record, "safety", canary), ()) == 15
    assert len(asked) == 11


def test_another_scorers_answers_do_not_count() -> None:
    """Its judge may be another model."""
    record = JudgeRecord()
    failures = Failures(record, "safety", nobody)
    for _ in range(MOST):
        record.note("tone", 0)
        assert not failures.is_the_trace(UNREACHABLE)


@pytest.mark.parametrize("kind", ["overloaded", "refused", "circuit_open"])
def test_no_room_a_refused_key_and_an_open_circuit_are_nobodys_fault(kind: str) -> None:
    """They are waited out, whoever is answered meanwhile."""
    record = JudgeRecord()
    failures = Failures(record, "safety", lambda: True)
    for _ in range(MOST):
        record.note("safety", 0)
        assert not failures.is_the_trace(JudgeUnavailable("no", kind=kind))  # type: ignore[arg-type]
