"""Workarounds for the client library, as long as they are needed."""

import time

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from consumers.kafka_source import KafkaSource
from consumers.messages import TopicPartition
from consumers.settings import SourceSettings


def test_a_rejoin_for_new_partitions_survives_polls_that_are_shorter_than_it(kafka, topic):
    """Each added partition arrives, though no single poll is long enough for a rejoin."""
    source = KafkaSource(SourceSettings(bootstrap_servers=kafka.bootstrap_servers, topic=topic, group_id=f"g-{topic}"))
    source.start()
    owned = set()
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    for partitions in (3, 4, 5, 6, 7, 8):
        if partitions > 3:
            admin.create_partitions({topic: partitions})
        deadline = time.monotonic() + 60
        while len(owned) < partitions and time.monotonic() < deadline:
            source._client._cluster.request_update()
            owned |= set(source.poll(0.002).assigned)
        assert len(owned) == partitions
    admin.close()
    source.close()


@pytest.fixture
def few(kafka, topic):
    """A source on the topic that polls five messages at a time, not yet started."""
    source = KafkaSource(
        SourceSettings(
            bootstrap_servers=kafka.bootstrap_servers, topic=topic, group_id=f"g-{topic}", max_poll_records=5
        )
    )
    yield source
    source.close()


@pytest.fixture
def publish(kafka, topic):
    """`publish(10, 0)`: so many messages to a partition, and wait for them."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)

    def send(count, partition):
        for future in [producer.send(topic, b"x", partition=partition) for _ in range(count)]:
            future.get(10)

    yield send
    producer.close()


def read(source, seen, count):
    """Poll until so many messages were seen in all."""
    deadline = time.monotonic() + 60
    while len(seen) < count and time.monotonic() < deadline:
        seen.extend(source.poll(0.05).messages)
    assert len(seen) == count


def test_what_was_kept_of_a_paused_partition_comes_when_the_others_have_nothing_more(few, publish, topic):
    """A partition is paused in the middle of a fetched batch, and resumed when all others have come to their ends."""
    seen = []
    publish(10, 0)
    few.start()
    read(few, seen, 5)
    few.pause([TopicPartition(topic, 0)])
    publish(1, 1)
    read(few, seen, 6)
    few.resume([TopicPartition(topic, 0)])
    read(few, seen, 11)


def test_what_was_kept_of_several_paused_partitions_comes_when_they_are_resumed_together(few, publish, topic):
    """The client takes back one of them at a time, and the next one only from empty hands."""
    seen = []
    publish(10, 0)
    publish(10, 1)
    few.start()
    read(few, seen, 5)
    first = seen[0].topic_partition
    few.pause([first])
    read(few, seen, 10)
    both = {message.topic_partition for message in seen}
    assert both == {TopicPartition(topic, 0), TopicPartition(topic, 1)}
    few.pause(both)
    publish(1, 2)
    read(few, seen, 11)
    few.resume(both)
    read(few, seen, 21)
