"""The stream changes under a running daemon: retention overtakes it, or the topic is made anew."""

import threading
from datetime import timedelta

import pytest

from consumers.messages import TopicPartition
from consumers.settings import DeadLetterSettings
from monitor.pipeline.watermarks import PositionBeyondEnd

HERE = TopicPartition("traces", 0)


def test_what_retention_deletes_under_a_running_daemon_is_counted_as_lost_with_how_many(stage):
    """Only the unread ones: an event that is at the judge while its own message is deleted counts as scored."""
    at_judge, go_on, polls = threading.Event(), threading.Event(), []

    def answer(inputs):
        if inputs["question"] == "2":
            at_judge.set()
            return go_on.wait(60)
        return True

    stage.scorers.clear()
    stage.scorer("safe", answer=answer)
    for number in range(3):
        stage.event(str(number))

    def until():
        if at_judge.is_set() and not polls:
            for number in range(3, 12):
                stage.event(str(number))
            stage.topic.first[0] = 10
        if at_judge.is_set():
            polls.append(1)
        if len(polls) >= 10 and not go_on.is_set() and stage.ledgers[0].positions.read(*HERE) == 2:
            # As far as the watermark can go while the third is at the judge.
            assert stage.loop._marks._owned[HERE].is_astray
            go_on.set()
        return stage.all_committed()

    stage.run(until)
    (row,) = [row for row in stage.open().positions.all() if row.partition == 0]
    assert (row.lost, row.received, row.next_offset) == (7, 5, 12)
    assert stage.counts() == {("safe", "scored"): 5}
    assert sorted(stage.judged) == ["safe:0", "safe:1", "safe:10", "safe:11", "safe:2"]


def test_an_invalid_message_that_is_held_while_retention_deletes_it_is_buried_and_not_lost(stage):
    """It was read; it is a dead letter, and what follows was deleted unread."""
    stage.dead_letters = DeadLetterSettings(hold=timedelta(seconds=5))
    stage.scorers.pop("short")
    stage.topic.append(b"<trace/>", partition=0)

    def until():
        if stage.loop._quarantine.size and not stage.topic.first[0]:
            for number in range(1, 6):
                stage.event(str(number))
            stage.topic.first[0] = 4
        return stage.all_committed()

    stage.run(until)
    (row,) = [row for row in stage.open().positions.all() if row.partition == 0]
    assert (row.lost, row.received, row.next_offset) == (3, 3, 6)
    assert stage.counts() == {("safe", "dead_lettered"): 1, ("safe", "scored"): 2}


def test_a_topic_made_anew_under_a_running_daemon_stops_it_with_the_command_that_resets_it(stage):
    """New events from offset 0 on must not pass for events that were done."""
    for number in range(3):
        stage.event(str(number))
    swapped = []

    def until():
        if stage.all_committed() and not swapped:
            swapped.append(1)
            stage.topic.logs[0].clear()
            stage.event("new")
        return False

    with pytest.raises(PositionBeyondEnd, match="`tracewatch reset -c FILE --to beginning`") as stopped:
        stage.run(until)
    assert "the next offset of traces[0] is 3, and the partition ends at 1" in str(stopped.value)
    assert stage.open().positions.read(*HERE) == 3
