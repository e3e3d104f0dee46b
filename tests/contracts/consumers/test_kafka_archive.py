"""A topic read as an archive: up to its end as it is, by nobody's group, whatever retention has left."""

import pytest

from consumers.errors import SourceUnavailable
from consumers.kafka_archive import read_positions, read_topic
from consumers.kafka_dead_letters import KafkaDeadLetters
from consumers.letter_contents import LetterContents
from consumers.messages import Message, Position
from consumers.replayable import replayable


@pytest.fixture
def publish(settings):
    """Put values into a partition of the fresh topic, at given times."""
    from kafka import KafkaProducer

    producer = KafkaProducer(**settings.connection())

    def put(values, partition=0, timestamp_ms=None, **more):
        for number, value in enumerate(values):
            at_ms = None if timestamp_ms is None else timestamp_ms + number
            producer.send(settings.topic, value, partition=partition, timestamp_ms=at_ms, **more)
        producer.flush()

    yield put
    producer.close()


def delete_before(settings, partition, offset):
    """What retention does, at once."""
    from kafka import KafkaAdminClient, TopicPartition

    admin = KafkaAdminClient(**settings.connection())
    admin.delete_records({TopicPartition(settings.topic, partition): offset})
    admin.close()


def test_a_topic_is_read_once_up_to_its_end_as_it_was(settings, publish):
    """What is published meanwhile is not read: a replay into the same topic comes to an end."""
    for partition in (0, 2):
        publish([b"%d" % number for number in range(45)], partition, key=b"k", headers=[("h", b"1")])
    found = []
    for message in read_topic(settings, settings.topic):
        found.append(message)
        if len(found) == 1:
            publish([b"later"] * 5)
    assert [message.value for message in found if message.partition == 0] == [b"%d" % number for number in range(45)]
    assert len(found) == 90
    assert (found[0].key, found[0].headers) == (b"k", (("h", b"1"),))


def test_a_fetch_that_brings_more_than_was_there_at_the_start_is_cut(settings, publish):
    """One fetch may bring what was asked for and what came later."""
    from kafka import TopicPartition

    from consumers import kafka_archive

    publish([b"%d" % number for number in range(9)])
    partition = TopicPartition(settings.topic, 0)
    with kafka_archive._consumer(settings) as consumer:
        consumer.assign([partition])
        consumer.seek(partition, 0)
        found = [message.offset for message in kafka_archive._read_up_to(consumer, {partition: 7}, settings)]
    assert found == list(range(7))


def test_an_empty_topic_and_an_emptied_one_have_nothing_and_hang_nobody(settings, publish):
    """Retention may have moved the beginning up to the end."""
    assert list(read_topic(settings, settings.topic)) == []
    publish([b"a"] * 10)
    delete_before(settings, 0, 10)
    assert list(read_topic(settings, settings.topic)) == []
    publish([b"b"] * 10)
    delete_before(settings, 0, 15)
    assert [message.offset for message in read_topic(settings, settings.topic)] == list(range(15, 20))


def test_marks_of_transactions_at_the_end_are_no_reason_to_wait(settings, publish):
    """The last offset before the end may hold no message."""
    from kafka import KafkaProducer

    producer = KafkaProducer(**settings.connection(), transactional_id=f"t-{settings.topic}")
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(settings.topic, b"in a transaction", partition=1).get(10)
    producer.commit_transaction()
    producer.close()
    publish([b"plain"])
    assert sorted(message.value for message in read_topic(settings, settings.topic)) == [b"in a transaction", b"plain"]


def test_times_choose_messages(settings, publish):
    """From the first one at a time, up to the one before another."""
    publish([b"x"] * 20, 0, 1_700_000_000_000)
    publish([b"y"] * 20, 1, 1_600_000_000_000)
    found = list(read_topic(settings, settings.topic, since_ms=1_700_000_000_005, until_ms=1_700_000_000_008))
    assert [message.offset for message in found] == [5, 6, 7]


def test_a_topic_that_is_not_there_is_told(settings):
    """A misspelt name is no empty topic."""
    with pytest.raises(SourceUnavailable, match="no topic `nothing-here`"):
        list(read_topic(settings, "nothing-here"))


def test_messages_are_found_by_their_positions_and_missing_ones_are_left_out(settings, publish):
    """Far apart, deleted, beyond the end, in a partition or a topic that is not there."""
    publish([b"%d" % number for number in range(3000)], 0)
    publish([b"other"] * 3, 1)
    delete_before(settings, 0, 100)
    wanted = [Position(topic=settings.topic, partition=0, offset=at) for at in (5, 100, 101, 1500, 2999, 3000)]
    wanted += [Position(topic=settings.topic, partition=1, offset=2), Position(topic="gone", partition=0, offset=0)]
    wanted += [Position(topic=settings.topic, partition=9, offset=0)]
    found = read_positions(settings, wanted)
    assert {(at.partition, at.offset): message.value for at, message in found.items()} == {
        (0, 100): b"100",
        (0, 101): b"101",
        (0, 1500): b"1500",
        (0, 2999): b"2999",
        (1, 2): b"other",
    }


def test_a_reference_finds_its_original_and_no_other_message_at_its_place(settings, publish):
    """A topic that was made anew has other messages at the same offsets."""
    publish([b"original", b"another"], 0, key=b"\xfe", headers=[("h", b"\xff")])
    letters = KafkaDeadLetters(settings, LetterContents(payload="reference"))
    for offset in (0, 1):
        place = {"topic": settings.topic, "partition": 0, "offset": offset, "timestamp_ms": 0}
        letters.send(Message(**place, key=b"k", value=b"original"), "not_json", "x")
    letters.close()
    found = [replayable(message) for message in read_topic(settings, settings.dead_letters)]
    assert [each.message.value for each in found] == [None, None]
    originals = read_positions(settings, [each.position for each in found])
    first, second = found
    assert first.is_original(originals[first.position])
    whole = first.with_original(originals[first.position])
    assert (whole.message.value, whole.message.key, whole.message.headers) == (b"original", b"\xfe", (("h", b"\xff"),))
    assert not second.is_original(originals[second.position])
