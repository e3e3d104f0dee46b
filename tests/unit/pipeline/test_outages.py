"""Services may be away for any time: nothing is lost, and the stream goes on afterwards."""

import itertools
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
import requests

from consumers.errors import OwnershipLost, SourceUnavailable
from consumers.events import mlflow_trace_id
from consumers.memory_source import MemorySource
from monitor.ledger.budget import Budget
from monitor.ledger.errors import LedgerUnavailable
from monitor.ledger.positions import Positions
from monitor.traces.errors import TraceStoreUnavailable
from monitor.traces.memory_store import MemoryTraceStore
from scorers.errors import JudgeUnavailable


class Away(requests.exceptions.ConnectionError):
    """What a judge's client raises when nobody answers."""


def test_an_outage_of_the_judge_is_waited_for(stage):
    """The judge fails three times and answers the fourth: one verdict, a pass, and no error."""
    failures = iter([Away("refused")] * 3)

    def answer(_inputs):
        if (failure := next(failures, None)) is not None:
            assert not stage.health.states()["judge"].up
            raise failure
        return True

    stage.scorer("safe", answer=answer)
    stage.event("one")
    stage.run()
    assert stage.judged.count("safe:one") == 4
    verdicts = stage.open().intake.verdicts_of(mlflow_trace_id("one"))
    assert {verdict.scorer: verdict.label for verdict in verdicts} == {"safe": "pass", "short": "pass"}
    assert stage.health.states()["judge"].up


def test_a_scorer_in_code_says_nothing_about_the_judge(stage):
    """A judge that is away stays so in /readyz while scorers that ask nobody succeed."""
    stage.scorers.pop("safe")
    stage.health.down("judge", "refused")
    stage.event("one")
    stage.run()
    assert not stage.health.states()["judge"].up


def test_a_trace_that_always_fails_while_others_succeed_becomes_an_error_verdict(stage):
    """One poisonous trace is recorded as an error and does not hold up its partition for ever."""
    stage.scorers.pop("short")
    fed = itertools.count(1)

    def answer(inputs):
        if inputs["question"] == "poison":
            # Others come while this one is tried again and again.
            stage.event(f"well {next(fed)}", partition=1)
            raise Away("HTTP 500")
        return True

    stage.scorer("safe", answer=answer)
    stage.event("poison")
    stage.run()
    (verdict,) = stage.open().intake.verdicts_of(mlflow_trace_id("poison"))
    assert verdict.label == "error"
    assert verdict.published
    assert stage.counts()["safe", "scored"] == sum(len(log) for log in stage.topic.logs)


@pytest.mark.parametrize("method", ["put", "publish"])
def test_an_outage_of_mlflow_is_waited_for(stage, method):
    """The store is away twice in the middle of an event: one judge call all the same."""

    class Flaky(MemoryTraceStore):
        """Away for the first two calls."""

    failures = iter([TraceStoreUnavailable("away")] * 2)
    flaky, real = Flaky(), getattr(stage.traces, method)

    def sometimes(*args):
        if (failure := next(failures, None)) is not None:
            raise failure
        real(*args)

    flaky.put, flaky.publish = stage.traces.put, stage.traces.publish
    setattr(flaky, method, sometimes)
    stage.event("one")
    stage.run(traces=flaky)
    assert sorted(stage.judged) == ["safe:one", "short:one"]
    assert stage.counts() == {("safe", "scored"): 1, ("short", "scored"): 1}


def _flaky(part, method, times, stage, noticed):
    """A change of a ledger: that method fails a few times before anything is written."""

    def change(ledger):
        kind = {"positions": Positions, "budget": Budget}[part]
        left = [times]

        def call(_self, *args, **kwargs):
            if left[0]:
                left[0] -= 1
                noticed.append(stage.source.polls)
                stage.clock.advance(timedelta(seconds=2))
                raise LedgerUnavailable("away")
            return getattr(real, method)(*args, **kwargs)

        real = getattr(ledger, part)
        flaky = type("Flaky", (kind,), {method: call, "__slots__": ()})
        return replace(ledger, **{part: flaky(ledger.database)})

    return change


@pytest.mark.parametrize(
    ("part", "method"),
    [("positions", "open"), ("positions", "advance"), ("budget", "add_demand"), ("budget", "factor")],
)
def test_the_loop_goes_on_polling_while_the_ledger_is_away(stage, part, method):
    """Each failure is followed by further polls, so that the group keeps the member; nothing is lost or doubled."""
    stage.sampling = stage.sampling.model_copy(update={"judge_calls_per_hour": 1000})
    noticed = []
    for number in range(6):
        stage.event(f"event {number}", partition=number % 2)
    stage.run(change=_flaky(part, method, 3, stage, noticed))
    assert len(noticed) == 3
    assert len(set(noticed)) == 3, "the loop waited in one place instead of polling"
    assert stage.counts() == {("safe", "scored"): 6, ("short", "scored"): 6}
    assert sorted(stage.judged) == sorted(f"{name}:event {number}" for name in ("safe", "short") for number in range(6))


def test_an_assignment_is_not_forgotten_when_its_position_cannot_be_read(stage):
    """The stream goes away right after it has given its partitions: it is asked again, and their events are judged."""
    stage.event("one")
    stage.source_fails = iter([SourceUnavailable("away")] * 2)
    stage.run()
    assert stage.counts() == {("safe", "scored"): 1, ("short", "scored"): 1}


def test_a_commit_that_kafka_did_not_take_is_made_up_for(stage):
    """The ledger has moved on, Kafka was away: its offset follows although no further event comes."""
    stage.event("one")

    def until():
        stage.clock.advance(timedelta(seconds=1))
        ledger = stage.ledgers[0]
        if stage.topic.away is None and not stage.topic.commits and stage.judged:
            stage.topic.away = "broker is away"
        elif stage.topic.away is not None and (ledger.positions.read("traces", 0) or 0) == 1:
            stage.topic.away = None
        return stage.all_committed()

    stage.run(until)
    assert stage.counts()["safe", "scored"] == 1


def test_a_commit_that_a_rebalance_refused_is_made_up_for(stage, monkeypatch):
    """The partition stays ours and brings nothing more: its offset would stand for ever behind the watermark."""
    refusals = iter([OwnershipLost("the group is rebalancing")] * 3)
    commit = MemorySource.commit

    def refused(source, offsets):
        for refusal in refusals:
            raise refusal
        commit(source, offsets)

    monkeypatch.setattr(MemorySource, "commit", refused)
    stage.event("one")
    stage.run()
    assert next(refusals, None) is None
    assert stage.all_committed()


def test_a_defect_in_a_worker_ends_the_loop_and_commits_nothing_past_it(stage):
    """The exception comes out of `run`; the event comes again to the next replica."""

    def explode(_self, *_args):
        raise ZeroDivisionError

    broken = type("Broken", (MemoryTraceStore,), {"put": explode})()
    stage.event("one")
    with pytest.raises(ZeroDivisionError):
        stage.run(traces=broken)
    assert stage.topic.commits == {}
    stage.run()
    assert stage.counts()["safe", "scored"] == 1


def test_a_stop_drains_what_is_in_hand_and_commits_it(stage):
    """The stop comes while a judge is at work: its verdict is recorded, published and committed."""
    at_work, go_on = threading.Event(), threading.Event()

    def answer(_inputs):
        at_work.set()
        return go_on.wait(10)

    def until():
        if at_work.is_set():
            go_on.set()
        return at_work.is_set()

    stage.scorer("safe", answer=answer)
    stage.event("one")
    stage.run(until)
    assert stage.all_committed()
    assert stage.counts() == {("safe", "scored"): 1, ("short", "scored"): 1}


def test_a_stop_abandons_at_the_deadline_what_does_not_end(stage):
    """The replica ends although its judge does not; the next one judges the event, and it counts once."""
    at_work, go_on = threading.Event(), threading.Event()
    hang = [True]

    def answer(_inputs):
        at_work.set()
        if hang[0]:
            go_on.wait(60)
        return True

    stage.scorers.pop("short")
    stage.scorer("safe", answer=answer)
    stage.pipeline = stage.pipeline.model_copy(update={"shutdown_deadline": timedelta(0)})
    stage.event("one")
    stage.run(at_work.is_set)
    assert stage.topic.commits == {}
    hang[0] = False
    stage.run()
    go_on.set()
    assert stage.counts() == {("safe", "scored"): 1}


def test_a_stop_while_a_service_is_away_ends_the_wait(stage):
    """The judge never comes back: the replica ends all the same, and the event comes again."""
    failed = threading.Event()

    def answer(_inputs):
        failed.set()
        raise Away("refused")

    def canary(_scorer):
        raise JudgeUnavailable("refused")

    stage.scorer("safe", answer=answer)
    # Where it answered, the trace would be given up before the stop is seen.
    stage.canary = canary
    stage.event("one")
    stage.run(failed.is_set)
    assert stage.topic.commits == {}
    stage.scorer("safe")
    stage.run()
    assert stage.counts()["safe", "scored"] == 1
