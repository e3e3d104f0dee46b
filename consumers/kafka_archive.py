"""A topic as an archive: read from a time on up to its present end, or at single positions, by nobody's group."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition

from consumers.errors import SourceUnavailable
from consumers.kafka_connection import connect, kafka_border
from consumers.kafka_records import message_of
from consumers.messages import Message, Position
from consumers.settings import SourceSettings, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

_POLL_MS = 500
# Up to so many unwanted messages are read rather than sought over: a fetch brings hundreds at once.
_NEAR = 200


def read_topic(
    settings: SourceSettings, topic: str, *, since_ms: int | None = None, until_ms: int | None = None
) -> Iterator[Message]:
    """Messages of every partition, up to the end as it is at the first step; each partition's in their order.

    Args:
        settings: how to reach the cluster.
        topic: which topic; nothing is read of one without messages.
        since_ms: the earliest Kafka timestamp wanted.
        until_ms: the first one not wanted any more.

    Raises:
        SourceUnavailable: the cluster is away, has no such topic, or stops to answer.
    """
    with _consumer(settings) as consumer:
        partitions = _partitions(consumer, topic)
        open_ends = _start(consumer, partitions, since_ms, milliseconds(settings.request_timeout))
        for message in _read_up_to(consumer, open_ends, settings):
            wanted = until_ms is None or message.timestamp_ms < until_ms
            if wanted and (since_ms is None or message.timestamp_ms >= since_ms):
                yield message


def read_positions(settings: SourceSettings, wanted: Iterable[Position]) -> dict[Position, Message]:
    """The messages at these positions; those that are not there (deleted, cut, another topic) are left out.

    Raises:
        SourceUnavailable: the cluster is away or stops to answer.
    """
    by_partition: dict[KafkaTopicPartition, set[int]] = defaultdict(set)
    for position in wanted:
        by_partition[KafkaTopicPartition(position.topic, position.partition)].add(position.offset)
    if not by_partition:
        return {}
    found: dict[Position, Message] = {}
    with _consumer(settings) as consumer:
        for topic in sorted({partition.topic for partition in by_partition}):
            present = set(_partitions(consumer, topic, missing_ok=True))
            for partition in sorted(present & by_partition.keys()):
                for message in _at(consumer, partition, by_partition[partition], settings):
                    found[message.position] = message
    return found


def bounds_of(settings: SourceSettings, topic: str) -> dict[int, tuple[int, int]]:
    """Partition -> its first offset that is there, and the one after its last.

    Raises:
        SourceUnavailable: the cluster is away, or has no such topic.
    """
    timeout_ms = milliseconds(settings.request_timeout)
    with _consumer(settings) as consumer:
        partitions = _partitions(consumer, topic)
        first = consumer.beginning_offsets(partitions, timeout_ms=timeout_ms)
        ends = consumer.end_offsets(partitions, timeout_ms=timeout_ms)
    return {each.partition: (first[each], ends[each]) for each in partitions}


@contextmanager
def _consumer(settings: SourceSettings) -> Iterator[Any]:
    consumer = connect(
        KafkaConsumer,
        {
            **settings.connection(),
            "group_id": None,
            "enable_auto_commit": False,
            # Retention may overtake the reader: it goes on with what is left.
            "auto_offset_reset": "earliest",
            "allow_auto_create_topics": False,
            "max_poll_records": settings.max_poll_records,
            "fetch_max_bytes": int(settings.fetch_bytes),
            "max_partition_fetch_bytes": int(settings.fetch_bytes),
            "request_timeout_ms": max(1000, milliseconds(settings.request_timeout)),
        },
    )
    try:
        with kafka_border():
            yield consumer
    finally:
        consumer.close(autocommit=False, timeout_ms=1000)


def _partitions(consumer: Any, topic: str, *, missing_ok: bool = False) -> list[KafkaTopicPartition]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers and not missing_ok:
        raise SourceUnavailable(f"Kafka has no topic `{topic}`")
    return [KafkaTopicPartition(topic, number) for number in sorted(numbers)]


def _start(
    consumer: Any, partitions: list[KafkaTopicPartition], since_ms: int | None, timeout_ms: int
) -> dict[KafkaTopicPartition, int]:
    """Assign, seek, and say up to where each partition is to be read; those with nothing to read are left out."""
    first = consumer.beginning_offsets(partitions, timeout_ms=timeout_ms)
    ends = consumer.end_offsets(partitions, timeout_ms=timeout_ms)
    starts = dict(first)
    if since_ms is not None:
        found = consumer.offsets_for_times(dict.fromkeys(partitions, since_ms), timeout_ms=timeout_ms)
        starts = {partition: ends[partition] if at is None else at.offset for partition, at in found.items()}
    open_ends = {partition: ends[partition] for partition in partitions if starts[partition] < ends[partition]}
    consumer.assign(list(open_ends))
    for partition in open_ends:
        consumer.seek(partition, starts[partition])
    return open_ends


def _read_up_to(
    consumer: Any, open_ends: dict[KafkaTopicPartition, int], settings: SourceSettings
) -> Iterator[Message]:
    open_ends = dict(open_ends)
    for batch in _polls(consumer, settings, lambda: bool(open_ends)):
        for partition, records in batch.items():
            end = open_ends.get(partition, 0)
            yield from (message_of(record) for record in records if record.offset < end)
        # What lies at the end may be no message for us (a transaction's mark), or be deleted: only positions tell.
        done = [partition for partition, end in open_ends.items() if _position(consumer, partition) >= end]
        for partition in done:
            del open_ends[partition]
        consumer.pause(*done)


def _at(
    consumer: Any, partition: KafkaTopicPartition, offsets: Collection[int], settings: SourceSettings
) -> Iterator[Message]:
    """The messages at `offsets` of one partition, over gaps of any size."""
    timeout_ms = milliseconds(settings.request_timeout)
    first = consumer.beginning_offsets([partition], timeout_ms=timeout_ms)[partition]
    end = consumer.end_offsets([partition], timeout_ms=timeout_ms)[partition]
    left = sorted((offset for offset in offsets if first <= offset < end), reverse=True)
    if not left:
        return
    consumer.assign([partition])
    consumer.seek(partition, left[-1])
    for batch in _polls(consumer, settings, lambda: bool(left)):
        for record in batch.get(partition, ()):
            if left and record.offset == left[-1]:
                yield message_of(record)
            while left and left[-1] <= record.offset:
                left.pop()
        position = _position(consumer, partition)
        while left and left[-1] < position:
            left.pop()
        if left and left[-1] > position + _NEAR:
            consumer.seek(partition, left[-1])


def _polls(
    consumer: Any, settings: SourceSettings, wanted: Callable[[], bool]
) -> Iterator[dict[KafkaTopicPartition, list[Any]]]:
    """Poll while more is wanted. A broker that is away only shows in that nothing comes."""
    longest_s = settings.request_timeout.total_seconds() + settings.connect_timeout.total_seconds()
    before: dict[KafkaTopicPartition, int] = {}
    idle_s = 0.0
    while wanted():
        asked_s = time.monotonic()
        batch = consumer.poll(timeout_ms=_POLL_MS)
        waited_s = time.monotonic() - asked_s
        yield batch
        positions = {partition: _position(consumer, partition) for partition in consumer.assignment()}
        idle_s = idle_s + waited_s if positions == before else 0.0
        before = positions
        if idle_s > longest_s:
            raise SourceUnavailable(f"Kafka at {settings.bootstrap_servers} sends nothing more")


def _position(consumer: Any, partition: KafkaTopicPartition) -> int:
    known = consumer._subscription.position(partition)  # noqa: SLF001 - the public call asks Kafka, without a limit
    return -1 if known is None else int(known.offset)
