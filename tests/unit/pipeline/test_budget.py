"""The judge budget of the group: shared factors, and verdicts that are owed until there is room."""

from datetime import timedelta

import pytest

from consumers.decoding import decode
from consumers.events import mlflow_trace_id
from consumers.settings import DecodingLimits
from monitor.pipeline.owed import publish_unpublished, work_off_parked
from monitor.sampling import SamplingSettings


def _budget(stage, per_hour):
    stage.sampling = SamplingSettings(rate=1.0, min_rate=1.0, judge_calls_per_hour=per_hour)


def test_what_exceeds_the_budget_is_parked_and_judged_when_there_is_room(stage):
    """Five traces, two calls an hour: two are scored, three are owed, and an hour later two of those are worked off."""
    _budget(stage, 2)
    for number in range(5):
        stage.event(f"event {number}")
    stage.run()
    assert stage.counts() == {("safe", "scored"): 2, ("safe", "parked"): 3, ("short", "scored"): 5}
    effects = stage.effects(stage.open())
    assert work_off_parked(effects) == 0
    stage.clock.advance(timedelta(minutes=61))
    assert work_off_parked(effects) == 2
    assert stage.counts() == {("safe", "scored"): 4, ("safe", "parked"): 1, ("short", "scored"): 5}
    judged = [call for call in stage.judged if call.startswith("safe")]
    assert len(judged) == len(set(judged)) == 4
    assert all(len(stage.traces.get(each).info.assessments) >= 1 for each in stage.traces.ids())
    assert stage.open().intake.unpublished(10) == []


def test_parked_work_is_not_judged_again_when_its_event_comes_again(stage):
    """The process died between parking and the watermark: the event that comes again stays parked."""
    _budget(stage, 1)
    stage.scorers.pop("short")
    stage.event("one")
    stage.run()
    stage.event("two")
    with pytest.raises(Exception, match="advance"):
        stage.run(change=stage.killed_in("positions", "advance", before=True))
    stage.clock.advance(timedelta(minutes=61))
    stage.run()
    assert stage.counts() == {("safe", "scored"): 1, ("safe", "parked"): 1}
    assert work_off_parked(stage.effects(stage.open())) == 1
    assert stage.counts() == {("safe", "scored"): 2}
    assert stage.judged == ["safe:one", "safe:two"]


def test_a_replica_that_has_lost_the_lease_works_off_no_more(stage):
    """It asks before each call, and takes nothing of the budget."""
    _budget(stage, 1)
    for number in range(3):
        stage.event(f"event {number}")
    stage.run()
    stage.clock.advance(timedelta(minutes=61))
    ledger = stage.open()
    assert work_off_parked(stage.effects(ledger), lambda: False) == 0
    assert ledger.budget.calls_in_last_hour(stage.clock.now_ms() // 60_000) == 0


def test_a_parked_trace_that_was_deleted_from_mlflow_becomes_an_error_verdict(stage):
    """It can never be judged: it is owed no longer, and nothing is left to publish."""
    _budget(stage, 1)
    stage.scorers.pop("short")
    stage.event("one")
    stage.event("two")
    stage.run()
    stage.clock.advance(timedelta(minutes=61))
    empty = type(stage.traces)()
    assert work_off_parked(stage.effects(stage.open(), empty)) == 1
    assert stage.counts() == {("safe", "scored"): 2}
    labels = sorted(
        each.label for name in ("one", "two") for each in stage.open().intake.verdicts_of(mlflow_trace_id(name))
    )
    assert labels == ["error", "pass"]
    assert stage.open().intake.unpublished(10) == []


def test_verdicts_that_a_crash_kept_from_mlflow_are_published_later(stage):
    """The lease holder finds them; those judged just now are left to their workers."""
    stage.event("one")
    with pytest.raises(Exception, match="verdicts_of"):
        stage.run(change=stage.killed_in("intake", "verdicts_of"))
    effects = stage.effects(stage.open())
    assert publish_unpublished(effects, judged_before_ms=stage.clock.now_ms()) == 0
    assert publish_unpublished(effects, judged_before_ms=stage.clock.now_ms() + 1) == 1
    assert len(stage.traces.get(mlflow_trace_id("one")).info.assessments) == 2
    assert publish_unpublished(effects, judged_before_ms=stage.clock.now_ms() + 1) == 0


def _decided(stage, sampler, names):
    found = []
    for name in names:
        message = stage.event(name)
        event = decode(message, "tracewatch+json", DecodingLimits(), stage.clock.now_ms())
        decisions = sampler.decide(event, message.timestamp_ms)
        found.append([(each.subject, each.kept, each.probability) for each in decisions])
    return found


def test_two_replicas_that_have_seen_different_traffic_decide_alike(stage):
    """The first to need a minute's factor writes it; the other reads it, although it would have proposed another."""
    stage.sampling = SamplingSettings(rate=1.0, min_rate=0.01, judge_calls_per_hour=60)
    first, second = stage.open(), stage.open()
    minute = stage.clock.now_ms() // 60_000
    first.budget.add_demand(minute - 1, {"safe": 10_000})
    one = stage.sampler(first)
    names = [f"event {number}" for number in range(50)]
    decided = _decided(stage, one, names)
    second.budget.add_demand(minute - 1, {"safe": 990_000})
    assert _decided(stage, stage.sampler(second), names) == decided
    assert {probability for row in decided for name, _, probability in row if name == "safe"} == {0.1}
    assert all(kept and probability == 1.0 for row in decided for name, kept, probability in row if name == "short")


def test_an_event_decided_again_during_an_outage_is_one_demand(stage):
    """The second scorer's factor could not be read at first: the first scorer's demand is noted once."""
    from monitor.ledger.errors import LedgerUnavailable

    stage.sampling = SamplingSettings(rate=1.0, judge_calls_per_hour=1000)
    stage.scorers["short"] = ("judge", lambda _inputs: True)
    ledger = stage.open()
    sampler = stage.sampler(ledger)
    failures = iter([LedgerUnavailable("away")] * 3)
    real = ledger.budget

    class Flaky(type(real)):
        """Knows nothing of the second scorer for a while."""

        __slots__ = ()

        def factor(self, scorer, minute, propose):
            if scorer == "short" and (failure := next(failures, None)) is not None:
                raise failure
            return real.factor(scorer, minute, propose)

    sampler._budget = Flaky(ledger.database)
    message = stage.event("one")
    event = decode(message, "tracewatch+json", DecodingLimits(), stage.clock.now_ms())
    for _ in range(3):
        with pytest.raises(LedgerUnavailable):
            sampler.decide(event, message.timestamp_ms)
    sampler.decide(event, message.timestamp_ms)
    sampler.flush_demand()
    minute = message.timestamp_ms // 60_000
    assert ledger.budget.demand([minute]) == {minute: {"safe": 1000, "short": 1000}}
