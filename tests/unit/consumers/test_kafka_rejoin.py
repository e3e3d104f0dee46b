"""Workarounds for the client library, as long as they are needed."""

import time

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
        deadline = time.monotonic() + 10
        while len(owned) < partitions and time.monotonic() < deadline:
            source._client._cluster.request_update()
            owned |= set(source.poll(0.002).assigned)
        assert len(owned) == partitions
    admin.close()
    source.close()


def test_what_was_kept_of_a_paused_partition_comes_when_the_others_have_nothing_more(kafka, topic):
    """A partition is paused in the middle of a fetched batch, and resumed when all others have come to their ends."""
    address = kafka.bootstrap_servers
    source = KafkaSource(
        SourceSettings(bootstrap_servers=address, topic=topic, group_id=f"g-{topic}", max_poll_records=5)
    )
    producer = KafkaProducer(bootstrap_servers=address)
    seen = []

    def publish(count, partition):
        for future in [producer.send(topic, b"x", partition=partition) for _ in range(count)]:
            future.get(10)

    def until(count):
        deadline = time.monotonic() + 20
        while len(seen) < count and time.monotonic() < deadline:
            seen.extend(source.poll(0.05).messages)
        assert len(seen) == count

    publish(10, 0)
    source.start()
    until(5)
    source.pause([TopicPartition(topic, 0)])
    publish(1, 1)
    until(6)
    source.resume([TopicPartition(topic, 0)])
    until(11)
    producer.close()
    source.close()
