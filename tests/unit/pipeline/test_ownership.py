"""Where a partition begins, who may move its watermark, and how much of it is in hand at once."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from consumers.errors import MemberFenced
from consumers.events import mlflow_trace_id
from consumers.messages import TopicPartition
from monitor.ledger.errors import LedgerUnavailable
from monitor.ledger.positions import Positions
from monitor.pipeline.watermarks import PositionBeyondEnd

HERE = TopicPartition("traces", 0)


def test_partitions_are_paused_at_the_limit_and_resumed_below_it(stage):
    """No more events than the limit are with the judge, however many were polled; the others follow them."""
    at_work, looks, go_on = [], [], threading.Event()

    def answer(inputs):
        at_work.append(inputs["question"])
        return go_on.wait(60)

    def until():
        if len(at_work) >= 2:
            looks.append(len(at_work))
        if len(looks) == 20:
            assert stage.source.most_paused == 2
            go_on.set()
        return stage.all_committed()

    stage.scorer("safe", answer=answer)
    stage.pipeline = stage.pipeline.model_copy(update={"max_events_in_flight": 2, "workers": 8})
    for number in range(30):
        stage.event(f"event {number}", partition=number % 2)
    stage.run(until)
    assert looks[:20] == [2] * 20
    assert stage.counts() == {("safe", "scored"): 30, ("short", "scored"): 30}


def test_a_stale_owner_counts_nothing_twice(stage):
    """Another owner has moved the watermark over the first event: this one counts only what is left."""
    other = stage.open()
    other.positions.open(*HERE, 0)

    def answer(inputs):
        if inputs["question"] == "one":
            counts = {("safe", "scored", "rate"): 1, ("short", "scored", "rate"): 1}
            assert other.positions.advance(*HERE, 0, 1, counts, 1)
        return True

    stage.scorer("safe", answer=answer)
    stage.event("one")
    stage.event("two")
    stage.run()
    assert stage.counts() == {("safe", "scored"): 2, ("short", "scored"): 2}
    assert sorted(stage.judged) == ["safe:one", "safe:two", "short:one", "short:two"]
    assert stage.open().positions.received() == 2


def test_an_owner_whose_events_another_counted_in_part_takes_up_the_rest(stage):
    """The watermark stands in the middle of what this one has finished: the rest is taken again, not judged again."""
    other = stage.open()
    other.positions.open(*HERE, 0)
    for name in ("one", "two", "three"):
        stage.event(name)

    def steal(_inputs):
        other.positions.advance(*HERE, 0, 1, {("safe", "scored", "rate"): 1}, 1)
        return True

    stage.scorers.clear()
    stage.scorer("safe", answer=lambda inputs: steal(inputs) if inputs["question"] == "three" else True)
    # One commit at the end, so that all three are finished when the other moves the watermark.
    stage.pipeline = stage.pipeline.model_copy(update={"commit_every": timedelta(seconds=1)})

    def until():
        if stage.ledgers[-1].intake.verdicts_of(mlflow_trace_id("three")):
            stage.clock.advance(timedelta(seconds=1))
        return stage.all_committed()

    stage.run(until)
    assert stage.counts() == {("safe", "scored"): 3}
    assert sorted(stage.judged) == ["safe:one", "safe:three", "safe:two"]


def test_consumption_starts_at_the_larger_of_both_positions(stage):
    """Kafka is ahead of the ledger, by an operator's order: what lies between is skipped, and the counts add up."""
    for name in ("one", "two", "three"):
        stage.event(name)
    stage.open().positions.open(*HERE, 0)
    stage.topic.commits[HERE] = 2
    stage.run()
    assert sorted(stage.judged) == ["safe:three", "short:three"]
    assert stage.open().positions.read(*HERE) == 3
    assert stage.counts() == {("safe", "scored"): 1, ("short", "scored"): 1}


def test_a_position_beyond_the_end_of_a_topic_made_anew_is_an_error(stage):
    """Otherwise every new event up to the old position would pass for done."""
    stage.event("one")
    stage.open().positions.open(*HERE, 7)
    with pytest.raises(PositionBeyondEnd, match=r"traces\[0\] is 7, and the partition ends at 1"):
        stage.run()


def test_a_second_replica_goes_on_where_the_ledger_stands_and_both_share_the_work(stage):
    """Partitions move while events are in hand: each event is judged and counted once."""
    for number in range(20):
        stage.event(f"event {number}", partition=number % 2)
    seen = []

    def until():
        seen.append(1)
        if len(seen) == 4:
            # A member joins, takes a partition, and leaves again without having done anything.
            stage.topic.members.append(object())
        if len(seen) == 10:
            stage.topic.members.pop()
        return len(seen) > 10 and stage.all_committed()

    stage.run(until)
    assert stage.counts() == {("safe", "scored"): 20, ("short", "scored"): 20}
    assert len(set(stage.judged)) == 40


def test_a_partition_that_comes_back_brings_nothing_before_the_ledger_has_said_where_to_begin(stage):
    """Kafka forgets that it was paused; the ledger is away when it returns."""
    stage.event("one")
    seen, asked = [], []

    def change(ledger):
        real = ledger.positions

        def opening(_self, *args):
            asked.append(TopicPartition(*args[:2]) in stage.source._paused)
            if len(asked) in {2, 3}:
                stage.clock.advance(timedelta(seconds=2))
                raise LedgerUnavailable("away")
            return real.open(*args)

        return replace(ledger, positions=type("Away", (Positions,), {"open": opening, "__slots__": ()})(real.database))

    def until():
        if stage.all_committed() and not seen:
            seen.append(1)
            # All leave us and come back, as after a session that has expired.
            stage.topic.holders.clear()
            stage.source._positions.clear()
            stage.source._paused.clear()
            stage.event("two")
        return bool(seen) and stage.all_committed()

    stage.run(until, change=change)
    assert len(asked) >= 4
    assert all(asked)
    assert stage.counts() == {("safe", "scored"): 2, ("short", "scored"): 2}
    assert sorted(stage.judged) == ["safe:one", "safe:two", "short:one", "short:two"]


def test_a_member_whose_identity_is_taken_stops_and_commits_nothing_more(stage):
    """Another process does the work now; what is at the judge is not this one's any more."""
    at_judge, go_on = threading.Event(), threading.Event()

    def answer(_inputs):
        at_judge.set()
        return go_on.wait(60)

    def until():
        if at_judge.is_set():
            raise MemberFenced("another consumer has taken the identity 'one'")
        return False

    stage.scorer("safe", answer=answer)
    stage.event("one")
    with pytest.raises(MemberFenced, match="identity 'one': give each replica"):
        stage.run(until)
    assert stage.topic.commits == {}
    assert stage.open().positions.received() == 0
    go_on.set()
