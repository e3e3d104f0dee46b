"""When nearly everything is invalid the daemon stops with the reason, instead of emptying the topic."""

from datetime import timedelta

import pytest

from consumers.messages import TopicPartition
from consumers.settings import DeadLetterSettings
from monitor.pipeline.quarantine import TooManyInvalid
from monitor.traces.errors import TraceRejected
from monitor.traces.memory_store import MemoryTraceStore


@pytest.fixture(autouse=True)
def _small_stretch(stage):
    stage.dead_letters = DeadLetterSettings(stop_share=0.9, stop_after=50)
    stage.scorers.pop("short")


def test_a_stream_of_nothing_but_invalid_messages_stops_the_daemon_and_stays_unread(stage):
    """However often it is started again, nothing becomes a dead letter, and nothing passes a watermark."""
    for number in range(120):
        stage.topic.append(b"<trace/>", partition=number % 2)
    for _ in range(3):
        with pytest.raises(TooManyInvalid, match=r"50 of the last 50 messages are no trace events \(50 not_json\)"):
            stage.run()
    assert stage.letters.letters == []
    assert stage.open().positions.received() == 0
    # The producer is corrected: an operator skips what is bad, or changes `source.format`, and all goes on.
    stage.topic.commits.update({TopicPartition("traces", 0): 60, TopicPartition("traces", 1): 60})
    stage.event("well")
    stage.run()
    assert stage.counts() == {("safe", "scored"): 1}


def test_what_was_valid_before_a_deployment_went_bad_is_settled_by_the_stop(stage):
    """Judged, counted and committed; the dead letters made before it was noticed are counted too."""
    for number in range(20):
        stage.event(f"event {number}")
    for _ in range(200):
        stage.topic.append(b"<trace/>", partition=0)
    with pytest.raises(TooManyInvalid) as stopped:
        stage.run()
    assert stopped.value.stretch.invalid == 45
    buried = len(stage.letters.letters)
    assert buried == stopped.value.stretch.buried
    assert stage.counts()["safe", "scored"] == 20
    assert stage.open().positions.received() == stage.topic.commits["traces", 0] == 20 + buried
    with pytest.raises(TooManyInvalid):
        stage.run()
    assert len(stage.letters.letters) == buried, "a restart buried more"


def test_bad_data_in_a_good_stream_is_buried_and_stops_nothing(stage):
    """Half of the stream is invalid: that is counted and alerted, and every event is accounted for."""
    for number in range(100):
        stage.event(f"event {number}")
        stage.topic.append(b"<trace/>", partition=1)
    stage.run()
    assert stage.counts() == {("safe", "scored"): 100, ("safe", "dead_lettered"): 100}
    assert len(stage.letters.letters) == 100


def test_a_few_invalid_messages_and_nothing_else_are_buried_after_a_while(stage):
    """No valid one comes to speak for the stream, and no more invalid ones either."""
    for _ in range(3):
        stage.topic.append(b"<trace/>", partition=0)
    polls = []

    def until():
        polls.append(1)
        if len(polls) == 10:
            assert stage.letters.letters == []
            stage.clock.advance(stage.dead_letters.hold)
        return stage.all_committed()

    stage.run(until)
    assert stage.counts() == {("safe", "dead_lettered"): 3}


def test_traces_that_mlflow_refuses_one_and_all_stop_the_daemon(stage):
    """What turns out invalid in a worker counts as if it had been seen at once."""

    class Refusing(MemoryTraceStore):
        """Takes no trace."""

        def put(self, *_):
            """Refuse."""
            raise TraceRejected("too odd")

    for number in range(120):
        stage.event(f"event {number}")
    with pytest.raises(TooManyInvalid, match="trace_rejected"):
        stage.run(traces=Refusing())
    assert len(stage.letters.letters) < 60
    assert stage.judged == []


def test_a_stop_leaves_what_is_held_unread(stage):
    """SIGTERM while nobody knows whether it is bad data: it comes again."""
    stage.topic.append(b"<trace/>", partition=0)
    polls = []
    stage.run(lambda: polls.append(1) or len(polls) == 5)
    assert stage.letters.letters == []
    assert stage.topic.commits == {}
    stage.dead_letters = DeadLetterSettings(hold=timedelta(0))
    stage.run()
    assert stage.counts() == {("safe", "dead_lettered"): 1}
