"""Bad data is buried, a bad deployment stops the daemon: the rule against a plain model."""

from hypothesis import given
from hypothesis import strategies as st

from consumers.messages import Message, TopicPartition
from monitor.pipeline.quarantine import Invalid, Letter, Quarantine, TooManyInvalid

SHARE, AFTER, HOLD_S = 0.8, 10, 5.0
STREAM = st.lists(
    st.tuples(st.sampled_from(["valid", "invalid", "late"]), st.sampled_from([0.0, 0.0, 0.0, 1.0, 6.0])), max_size=60
)


def quarantine(**changes):
    """One with small limits."""
    return Quarantine(**({"stop_share": SHARE, "stop_after": AFTER, "most_bytes": 10**6, "hold_s": HOLD_S} | changes))


def letter(offset, *, partition=0, size=0, reason="not_json"):
    """An invalid message."""
    message = Message(topic="t", partition=partition, offset=offset, timestamp_ms=0, key=None, value=b"x" * size)
    return Letter(message=message, epoch=1, invalid=Invalid(reason=reason, detail="no"))


@given(STREAM)
def test_each_invalid_message_is_held_or_buried_once_and_never_buried_while_nearly_all_is_invalid(stream):
    """The window of the model is a plain list; `late` is a message that turns out invalid when its work is done."""
    made, now_s, last_s = quarantine(), 0.0, 0.0
    window, buried, begun, stopped = [], [], 0, False
    for offset, (kind, pause_s) in enumerate(stream):
        now_s += pause_s
        window = [*window, kind == "valid"][-AFTER:]
        if kind == "valid":
            made.note_valid()
        else:
            seen = made.note_valid() if kind == "late" else None
            made.note_invalid(letter(offset), now_s, seen)
            begun, last_s = begun + 1, now_s
            stopped = stopped or (len(window) == AFTER and window.count(False) >= SHARE * AFTER)
        assert (made.stretch is not None) == stopped
        released = made.release(now_s)
        suspicious = window.count(False) >= SHARE * len(window)
        if stopped or (suspicious and now_s - last_s < HOLD_S):
            assert released == []
        else:
            buried += [each.message.offset for each in released]
            assert len(buried) == begun
    assert buried == sorted(set(buried))


def test_a_daemon_that_is_started_again_and_again_on_a_bad_stream_buries_nothing():
    """Each start sees only invalid messages, holds them, and stops."""
    for _ in range(20):
        made = quarantine()
        for offset in range(AFTER):
            assert made.stretch is None
            made.note_invalid(letter(offset), 0.0)
            assert made.release(0.0) == []
        assert made.stretch is not None
        assert (made.stretch.seen, made.stretch.invalid, made.stretch.buried) == (AFTER, AFTER, 0)


def test_a_deployment_that_goes_bad_is_noticed_within_one_window():
    """What was buried before it was noticed is named, with the reasons and where to look."""
    made, buried = quarantine(), 0
    for _ in range(100):
        made.note_valid()
    for offset in range(AFTER):
        made.note_invalid(letter(offset, reason="not_json" if offset else "empty"), 0.0)
        buried += len(made.release(0.0))
        if made.stretch is not None:
            break
    assert made.stretch is not None
    assert (made.stretch.invalid, buried, made.stretch.buried) == (8, 7, 7)
    text = str(TooManyInvalid(made.stretch))
    assert "8 of the last 10 messages are no trace events (7 not_json, 1 empty)" in text
    assert "t[0]@7: not_json, no" in text
    assert "The 7 that became dead letters before can be taken in again with `tracewatch replay`" in text
    assert "`source.format`" in text


def test_what_turns_out_invalid_long_after_it_was_seen_counts_as_the_latest():
    """More is in flight than the window holds: a stretch is noticed all the same."""
    made = quarantine()
    seen = [made.note_valid() for _ in range(5 * AFTER)]
    for offset, each in enumerate(seen[: AFTER - 2]):
        assert made.stretch is None
        made.note_invalid(letter(offset), 0.0, each)
    assert made.stretch is not None


def test_an_invalid_message_of_a_healthy_stream_is_buried_at_once():
    """Bad data holds nothing up."""
    made = quarantine()
    for offset in range(1000):
        made.note_valid()
        if offset % 3 == 0:
            made.note_invalid(letter(offset), 0.0)
            assert [each.message.offset for each in made.release(0.0)] == [offset]
    assert made.stretch is None
    assert made.size == 0


def test_what_is_held_is_bounded_in_bytes():
    """The oldest are buried before the memory is full."""
    made = quarantine(stop_after=100, most_bytes=5000)
    buried = []
    for offset in range(50):
        made.note_invalid(letter(offset, size=700), 0.0)
        buried += [each.message.offset for each in made.release(0.0)]
        assert made.size <= 5000
    assert buried == list(range(45))


def test_what_is_held_of_a_partition_that_is_given_up_is_dropped():
    """It comes again to the next owner; what is held of the others stays."""
    made = quarantine()
    made.note_invalid(letter(1, partition=0), 0.0)
    made.note_invalid(letter(2, partition=1), 0.0)
    made.note_invalid(letter(3, partition=2), 0.0)
    made.forget({TopicPartition("t", 0)})
    assert [each.message.offset for each in made.take(TopicPartition("t", 1))] == [2]
    assert [each.message.offset for each in made.release(HOLD_S)] == [3]
    assert made.size == 0
