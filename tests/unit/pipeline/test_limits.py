"""Nothing in memory grows with the backlog, and one slow event does not keep other partitions waiting."""

import threading
from collections import defaultdict

from consumers.messages import Message, TopicPartition
from monitor.pipeline.arrivals import Arrivals, size_of
from monitor.pipeline.throttle import Throttle
from monitor.sampling import SamplingSettings

SLOW, FAST = TopicPartition("traces", 0), TopicPartition("traces", 1)
ONLY_ERRORS = SamplingSettings.model_validate({"rate": 0, "rules": [{"when": {"status": "ERROR"}, "rate": 1.0}]})


def test_a_hundred_thousand_events_behind_one_that_hangs_are_bounded_and_none_is_lost_or_reordered(stage):
    """Its partition is paused at a limit; the other's events pass meanwhile; all are counted when the judge answers."""
    go_on, most, order = threading.Event(), [0], defaultdict(list)
    stage.scorers.clear()
    stage.scorer("safe", answer=lambda _inputs: go_on.wait(60))
    stage.sampling = ONLY_ERRORS
    stage.event("hangs", 0, status="ERROR")
    for number in range(80_000):
        stage.event(f"{number:06}", 0)
    for number in range(20_000):
        stage.event(f"{number:06}", 1)

    def note(event):
        order[event.position.partition].append(event.source_id)
        return True

    stage.is_ours = note
    polls_when_stuck = [0]

    def until():
        marks = stage.loop._marks
        most[0] = max(most[0], marks.waiting)
        if not go_on.is_set() and SLOW in stage.source._paused and stage.topic.commits.get(FAST) == 20_000:
            assert FAST not in stage.source._paused
            assert stage.loop._in_flight.events == 1
            polls_when_stuck[0] += 1
            if polls_when_stuck[0] == 5:
                # What waits is one tally, whatever its number.
                assert len(marks._owned[SLOW].tracker._behind) == 1
                go_on.set()
        return stage.all_committed()

    stage.run(until)
    assert 50_000 <= most[0] <= 51_000
    assert stage.counts() == {("safe", "scored"): 1, ("safe", "sampled_out"): 100_000}
    assert order[0] == ["hangs", *(f"{number:06}" for number in range(80_000))]
    assert order[1] == [f"{number:06}" for number in range(20_000)]


def test_partitions_are_paused_when_the_bytes_in_hand_reach_their_limit(stage):
    """Few events, but large ones: a second poll is not made while the first one's bytes are in hand."""
    go_on, most = threading.Event(), [0]
    stage.scorers.clear()
    stage.scorer("safe", answer=lambda _inputs: go_on.wait(60))
    limits = {"max_events_in_flight": 10_000, "max_bytes_in_flight": 200_000}
    stage.pipeline = stage.pipeline.model_copy(update=limits)
    for number in range(560):
        stage.event(f"event {number}", number % 2, outputs="x" * 1000)

    def until():
        loop = stage.loop
        most[0] = max(most[0], loop._in_flight.events + loop._arrivals.events)
        if stage.source.polls == 30:
            assert stage.source.most_paused == 2
            assert most[0] == 500, "more than one poll"
            go_on.set()
        return stage.all_committed()

    stage.run(until)
    assert most[0] < 500 + 200, "resumed above half of the limit"
    assert (stage.loop._in_flight.size, stage.loop._arrivals.size) == (0, 0)
    assert stage.counts() == {("safe", "scored"): 560}


def test_the_throttle_opens_again_only_at_half_of_its_limits():
    """Events and bytes alike; in between it stays as it was."""
    throttle = Throttle(events=10, size=100)
    steps = [(9, 99), (10, 0), (6, 0), (5, 0), (9, 0), (0, 100), (0, 51), (0, 50)]
    assert [throttle.is_closed(events=events, size=size) for events, size in steps] == [
        False,
        True,
        True,
        False,
        False,
        True,
        True,
        False,
    ]


def test_partitions_take_turns_and_each_keeps_its_order():
    """A crowd of one partition does not keep another's message waiting; what is dropped is not counted any more."""
    arrivals = Arrivals()
    arrivals.add(_message(0, offset) for offset in range(5))
    arrivals.add([_message(1, 0), _message(2, 0), _message(2, 1)])
    assert (arrivals.events, arrivals.size) == (8, 8 * size_of(_message(0, 0)))
    taken = []
    for _ in range(4):
        message = arrivals.peek()
        taken.append((message.partition, message.offset))
        arrivals.pop()
    assert taken == [(0, 0), (1, 0), (2, 0), (0, 1)]
    arrivals.drop([TopicPartition("traces", 0), TopicPartition("traces", 7)])
    assert arrivals.peek() == _message(2, 1)
    arrivals.pop()
    assert arrivals.peek() is None
    assert (arrivals.events, arrivals.size) == (0, 0)


def _message(partition: int, offset: int) -> Message:
    return Message(topic="traces", partition=partition, offset=offset, timestamp_ms=0, key=b"k", value=b"value")
