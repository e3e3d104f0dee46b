"""Another replica wants a partition: what is in hand is finished or abandoned, and what is durable is committed."""

import threading
from datetime import timedelta

from consumers.events import mlflow_trace_id
from consumers.memory_source import MemorySource
from consumers.messages import TopicPartition

KEPT, WANTED = TopicPartition("traces", 0), TopicPartition("traces", 1)


class Joining:
    """A second member of the group, which polls only when it is told to."""

    def __init__(self, stage) -> None:
        self.source = MemorySource(stage.topic)
        self.assigned = []

    def start(self):
        """Join the group."""
        self.source.start()

    def poll(self):
        """Look whether the group gives something."""
        self.assigned += self.source.poll(0).assigned


def test_an_event_at_the_judge_is_finished_and_committed_before_its_partition_is_given_away(stage):
    """The new owner begins behind it; what was not at the judge yet is left to the new owner, and paid once."""
    at_judge, go_on, joining = threading.Event(), threading.Event(), Joining(stage)

    def answer(_inputs):
        at_judge.set()
        return go_on.wait(60)

    stage.scorers.clear()
    stage.scorer("safe", answer=answer)
    stage.pipeline = stage.pipeline.model_copy(update={"workers": 1})
    for number in range(10):
        stage.event(f"event {number}", WANTED.partition)
    polls = []

    def until():
        if not at_judge.is_set():
            return False
        if not polls:
            joining.start()
        polls.append(len(joining.assigned))
        joining.poll()
        if len(polls) == 10:
            assert joining.assigned == [], "nobody else may have it while an event of it is at the judge"
            go_on.set()
        return bool(joining.assigned)

    stage.run(until)
    assert joining.assigned == [WANTED]
    assert stage.judged == ["safe:event 0"]
    assert stage.topic.commits[WANTED] == 1
    assert stage.open().positions.read(*WANTED) == 1
    joining.source.close()
    stage.run()
    assert sorted(stage.judged) == [f"safe:event {number}" for number in range(10)]
    assert stage.counts() == {("safe", "scored"): 10}


def test_a_judge_that_hangs_holds_its_partition_no_longer_than_the_deadline(stage):
    """What is done is committed, the other event is abandoned and comes again to the new owner."""
    at_judge, go_on, joining, polls = threading.Event(), threading.Event(), Joining(stage), []

    def answer(inputs):
        if inputs["question"] == "hangs" and not at_judge.is_set():
            at_judge.set()
            go_on.wait(60)
        return True

    stage.scorers.clear()
    stage.scorer("safe", answer=answer)
    stage.event("done", WANTED.partition)
    stage.event("hangs", WANTED.partition)
    stage.event("behind", WANTED.partition)

    def has_a_verdict(name):
        return stage.ledgers[0].intake.verdicts_of(mlflow_trace_id(name))

    def until():
        if not at_judge.is_set() or stage.topic.commits.get(WANTED) != 1 or not has_a_verdict("behind"):
            return False
        if not polls:
            joining.start()
        polls.append(1)
        joining.poll()
        if len(polls) == 10:
            assert joining.assigned == []
            stage.clock.advance(stage.pipeline.revocation_deadline)
        return bool(joining.assigned)

    stage.pipeline = stage.pipeline.model_copy(update={"shutdown_deadline": timedelta(0)})
    stage.run(until)
    assert stage.topic.commits[WANTED] == 1
    joining.source.close()
    stage.run()
    go_on.set()
    assert stage.counts() == {("safe", "scored"): 3}
    # The answer to what was behind it had reached the ledger: only the call in flight is paid again.
    assert sorted(stage.judged) == ["safe:behind", "safe:done", "safe:hangs", "safe:hangs"]


def test_the_partitions_that_stay_go_on_while_another_is_handed_over(stage):
    """Their events are judged although the one that leaves has an event at the judge."""
    at_judge, go_on, joining = threading.Event(), threading.Event(), Joining(stage)

    def answer(inputs):
        if inputs["question"] == "slow":
            at_judge.set()
            return go_on.wait(60)
        return True

    stage.scorers.clear()
    stage.scorer("safe", answer=answer)
    stage.event("slow", WANTED.partition)
    started = []

    def until():
        if at_judge.is_set() and not started:
            joining.start()
            started.append(1)
        if WANTED in stage.loop._leaving and not stage.topic.logs[KEPT.partition]:
            stage.event("stays", KEPT.partition)
        if stage.topic.commits.get(KEPT) == 1 and not go_on.is_set():
            assert WANTED in stage.loop._leaving
            go_on.set()
        if started:
            joining.poll()
        return bool(joining.assigned)

    stage.run(until)
    assert stage.counts() == {("safe", "scored"): 2}


def test_the_ledger_may_be_away_while_a_partition_is_handed_over(stage):
    """It is given up at the deadline without having been settled, and the new owner takes its events up again."""
    from monitor.ledger.errors import LedgerUnavailable

    joining, failures, polls = Joining(stage), [], []
    stage.scorers.clear()
    stage.scorer("safe")
    stage.event("one", WANTED.partition)

    def change(ledger):
        def advance(*_args):
            failures.append(1)
            stage.clock.advance(timedelta(seconds=1))
            raise LedgerUnavailable("away")

        return _with(ledger, advance)

    def until():
        if failures and not polls:
            joining.start()
        if failures:
            polls.append(1)
            joining.poll()
            stage.clock.advance(timedelta(seconds=1))
        return bool(joining.assigned)

    stage.run(until, change=change)
    assert stage.topic.commits == {}
    joining.source.close()
    stage.run()
    assert stage.judged == ["safe:one"]
    assert stage.counts() == {("safe", "scored"): 1}


def _with(ledger, advance):
    from dataclasses import replace

    from monitor.ledger.positions import Positions

    away = type("Away", (Positions,), {"advance": lambda _self, *args: advance(*args), "__slots__": ()})
    return replace(ledger, positions=away(ledger.database))
