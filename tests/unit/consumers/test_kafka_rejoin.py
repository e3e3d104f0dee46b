"""A workaround for the client library, as long as it is needed."""

import time

from kafka import KafkaAdminClient

from consumers.kafka_source import KafkaSource
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
