"""What every `TraceSource` promises, in memory and on Kafka alike."""

import pytest

from consumers.messages import TopicPartition


class Seen:
    """What a member was told, poll by poll; it lets go of what others want at once."""

    def __init__(self, source, *, lets_go=True) -> None:
        self.source = source
        self.lets_go = lets_go
        self.owned = set()
        self.assigned = []
        self.leaving = []
        self.revoked = []
        self.out_of_range = []
        self.messages = []

    def poll(self, timeout_s=0.1):
        """One poll; holds the promise that revoked partitions were ours and messages come only from owned ones."""
        batch = self.source.poll(timeout_s)
        gone = {*batch.revoked, *batch.leaving}
        assert self.owned.issuperset(gone)
        self.owned -= gone
        new = set(batch.assigned)
        assert not new & {message.topic_partition for message in batch.messages}
        assert self.owned.issuperset({message.topic_partition for message in batch.messages})
        self.owned |= new
        self.assigned += batch.assigned
        self.leaving += batch.leaving
        self.revoked += batch.revoked
        self.out_of_range += batch.out_of_range
        self.messages += batch.messages
        if self.lets_go:
            self.source.release(batch.leaving)
        return batch

    def until(self, condition, polls=600):
        """Poll until the condition holds."""
        for _ in range(polls):
            if condition():
                return
            self.poll()
        pytest.fail(f"not reached after {polls} polls; owned {self.owned}, {len(self.messages)} messages")


def _all(stream):
    return {TopicPartition(stream.name, number) for number in range(3)}


def test_every_message_arrives_in_order_with_its_offset(stream, members):
    """Partition by partition, offsets without holes, and key, value and headers untouched."""
    for partition in range(3):
        stream.publish([f"{partition}-{n}".encode() for n in range(25)], partition)
    seen = Seen(members())
    seen.until(lambda: len(seen.messages) == 75)
    for partition in range(3):
        ours = [message for message in seen.messages if message.partition == partition]
        assert [message.offset for message in ours] == list(range(25))
        assert [message.value for message in ours] == [f"{partition}-{n}".encode() for n in range(25)]
    assert {(message.topic, message.key, message.headers) for message in seen.messages} == {
        (stream.name, b"k", (("h", b"1"),))
    }
    assert seen.source.lag() == dict.fromkeys(_all(stream), 0)


def test_a_partition_is_reported_before_its_messages_so_that_the_caller_can_seek(stream, members):
    """A seek between the report and the next poll decides what comes first."""
    for partition in range(3):
        stream.publish([b"x"] * 5, partition)
    seen = Seen(members())
    seen.until(lambda: seen.owned == _all(stream))
    for tp in seen.assigned:
        seen.source.seek(tp, 3)
    seen.messages.clear()
    seen.until(lambda: len(seen.messages) == 6)
    assert sorted((message.partition, message.offset) for message in seen.messages) == [
        (partition, offset) for partition in range(3) for offset in (3, 4)
    ]


def test_a_poll_never_brings_more_than_was_asked_for(stream, members):
    """Memory is bounded by max_poll_records."""
    stream.publish([b"x"] * 35, 0)
    seen = Seen(members())
    sizes = []
    while sum(sizes) < 35:
        sizes.append(len(seen.poll().messages))
    assert max(sizes) <= 10


def test_a_new_member_goes_on_from_the_committed_offset(stream, members):
    """Committed offsets are next offsets; a partition without a commit begins at its start."""
    tp = TopicPartition(stream.name, 0)
    stream.publish([b"x"] * 5, 0)
    first = Seen(members())
    first.until(lambda: len(first.messages) == 5)
    assert first.source.committed(_all(stream)) == {}
    first.source.commit({tp: 2})
    assert first.source.committed(_all(stream)) == {tp: 2}
    first.source.close()
    second = Seen(members())
    second.until(lambda: len(second.messages) == 3)
    assert [message.offset for message in second.messages] == [2, 3, 4]


def test_a_commit_for_a_partition_that_is_not_ours_changes_nothing(stream, members):
    """Kafka would accept it in silence and move another member's offset."""
    stream.publish([b"x"] * 3, 0)
    one, two = Seen(members()), Seen(members())
    for _ in range(150):
        one.poll()
        two.poll()
        if one.owned and two.owned and one.owned | two.owned == _all(stream) and not one.owned & two.owned:
            break
    foreign = next(iter(two.owned))
    one.source.commit({foreign: 1})
    assert one.source.committed([foreign]) == {}
    one.source.seek(foreign, 0)
    one.source.pause([foreign])


def test_two_members_share_the_partitions_and_report_what_moved(stream, members):
    """Both learn what they got and what they gave; when one leaves, the other gets everything back."""
    first = Seen(members())
    first.until(lambda: first.owned == _all(stream))
    second = Seen(members())
    for _ in range(150):
        first.poll()
        second.poll()
        if second.owned and first.owned | second.owned == _all(stream) and not first.owned & second.owned:
            break
    assert first.owned
    assert second.owned
    assert first.owned | second.owned == _all(stream)
    assert not first.owned & second.owned
    assert set(first.leaving) == second.owned
    assert set(second.assigned) == second.owned
    stream.publish([b"x"] * 4, next(iter(second.owned)).partition)
    second.until(lambda: len(second.messages) == 4)
    second.source.close()
    first.until(lambda: first.owned == _all(stream))
    first.until(lambda: len(first.messages) == 4)


def test_a_member_finishes_and_commits_what_another_wants_before_that_gets_it(stream, members):
    """Until it lets go nobody else has the partition, and its commit still counts."""
    first = Seen(members(), lets_go=False)
    first.until(lambda: first.owned == _all(stream))
    second = Seen(members())
    for _ in range(600):
        first.poll()
        second.poll()
        if first.leaving:
            break
    leaving = set(first.leaving)
    for _ in range(10):
        first.poll(0.05)
        second.poll(0.05)
    assert leaving
    assert not second.owned
    first.source.commit(dict.fromkeys(leaving, 7))
    assert first.source.committed(leaving) == dict.fromkeys(leaving, 7)
    first.source.release(leaving)
    first.source.commit(dict.fromkeys(leaving, 3))
    for _ in range(600):
        first.poll()
        second.poll()
        if second.owned:
            break
    assert second.owned == leaving
    assert second.source.committed(leaving) == dict.fromkeys(leaving, 7)
    assert first.revoked == []


def test_a_position_that_the_stream_has_not_is_said_and_waits_for_a_seek(stream, members):
    """Never a jump in silence: retention has overtaken one partition, another is asked for beyond its end."""
    for partition in range(3):
        stream.publish([b"x"] * 6, partition)
    seen = Seen(members())
    seen.until(lambda: len(seen.messages) == 18)
    overtaken, beyond, whole = sorted(_all(stream))
    stream.delete_before(0, 4)
    seen.source.seek(overtaken, 2)
    seen.source.seek(beyond, 100)
    seen.source.seek(whole, 5)
    seen.messages.clear()
    seen.until(lambda: len(seen.out_of_range) == 2 and seen.messages)
    for _ in range(5):
        seen.poll()
    assert sorted(seen.out_of_range) == [overtaken, beyond]
    assert [(message.partition, message.offset) for message in seen.messages] == [(2, 5)]
    assert seen.source.bounds([overtaken]) == {overtaken: (4, 6)}
    seen.messages.clear()
    for tp in (overtaken, beyond):
        seen.source.seek(tp, 4)
    seen.source.resume([overtaken, beyond])
    seen.until(lambda: len(seen.messages) == 4)


def test_the_lag_of_a_paused_partition_grows_with_its_stream(stream, members):
    """Nothing is fetched of it, so a probe must ask for its end."""
    seen = Seen(members())
    seen.until(lambda: seen.owned == _all(stream))
    stream.publish([b"x"] * 2, 0)
    seen.until(lambda: len(seen.messages) == 2)
    tp = TopicPartition(stream.name, 0)
    seen.source.pause([tp])
    stream.publish([b"x"] * 5, 0)
    seen.poll()
    seen.source.probe()
    assert seen.source.lag()[tp] == 5


def test_a_paused_partition_is_silent_until_it_is_resumed(stream, members):
    """The others go on meanwhile, and nothing is lost."""
    seen = Seen(members())
    seen.until(lambda: seen.owned == _all(stream))
    seen.source.pause([TopicPartition(stream.name, 0)])
    stream.publish([b"x"] * 3, 0)
    stream.publish([b"y"] * 3, 1)
    seen.until(lambda: len(seen.messages) == 3)
    seen.poll()
    assert {message.partition for message in seen.messages} == {1}
    seen.source.resume([TopicPartition(stream.name, 0)])
    seen.until(lambda: len(seen.messages) == 6)


def test_bounds_say_what_is_there(stream, members):
    """First offset and the one after the last; a partition with nothing in it has both at zero."""
    stream.publish([b"x"] * 4, 1)
    source = members()
    assert source.bounds(_all(stream)) == {tp: (0, 4 if tp.partition == 1 else 0) for tp in _all(stream)}
    source.probe()


def test_a_source_that_was_closed_can_be_started_again(stream, members):
    """Starting over reports the partitions anew."""
    seen = Seen(members())
    seen.until(lambda: seen.owned == _all(stream))
    seen.source.close()
    seen.source.close()
    seen.source.start()
    again = Seen(seen.source)
    again.until(lambda: again.owned == _all(stream))
