"""Messages of a Kafka topic, shared by the members of a consumer group."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import OffsetAndMetadata

from consumers.errors import SourceFailed, SourceUnavailable
from consumers.kafka_connection import connect, kafka_border
from consumers.kafka_topics import describe_topic
from consumers.messages import Message, TopicPartition
from consumers.settings import SourceSettings, milliseconds
from consumers.source import PolledBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CLOSE_MS = 3000


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Runs on the client's own thread, where nothing of the consumer may be called: it only takes notes."""

    def __init__(self) -> None:
        self.notes: deque[tuple[Literal["assigned", "revoked"], tuple[TopicPartition, ...]]] = deque()

    def on_partitions_assigned(self, assigned: Iterable[KafkaTopicPartition]) -> None:
        self.notes.append(("assigned", _ours(assigned)))

    def on_partitions_revoked(self, revoked: Iterable[KafkaTopicPartition]) -> None:
        self.notes.append(("revoked", _ours(revoked)))

    def on_partitions_lost(self, lost: Iterable[KafkaTopicPartition]) -> None:
        self.notes.append(("revoked", _ours(lost)))


class KafkaSource:
    """A `TraceSource` on one topic. Without `group_id` in its settings it takes the one given."""

    def __init__(self, settings: SourceSettings, *, group_id: str | None = None) -> None:
        self._settings = settings
        self._group_id = settings.group_id or group_id or "tracewatch"
        self._rebalances = _Rebalances()
        self._client: Any = None
        self._owned: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()

    def start(self) -> None:
        """Connect, check that the topic is there, and ask to join; partitions come with the polls.

        Raises:
            SourceUnavailable: with the cause.
        """
        self.close()
        settings = self._settings
        timeout_s = settings.connect_timeout.total_seconds()
        if describe_topic(settings.connection(), settings.topic, timeout_s=timeout_s) is None:
            raise SourceUnavailable(f"Kafka at {settings.bootstrap_servers} has no topic `{settings.topic}`")
        self._client = connect(KafkaConsumer, self._options())
        _keep_rejoining(self._client._coordinator)  # noqa: SLF001 - see there
        with kafka_border():
            self._client.subscribe([settings.topic], listener=self._rebalances)
        # Asking for an offset also fetches the topic's partitions: without them the first join would assign nothing.
        self.probe()

    def poll(self, timeout_s: float) -> PolledBatch:
        """Messages, and what the group has given to us and taken from us since the last poll.

        The client may deliver messages of a partition in the very call in which it is assigned. These are put back, so
        that the caller can seek first.
        """
        with kafka_border():
            records: dict[KafkaTopicPartition, list[Any]] = self._consumer.poll(timeout_ms=round(timeout_s * 1000))
        assigned, revoked = self._take_notes()
        messages: list[Message] = []
        for kafka_tp, batch in records.items():
            tp = TopicPartition(kafka_tp.topic, kafka_tp.partition)
            if tp in assigned:
                self.seek(tp, batch[0].offset)
            elif tp in self._owned:
                messages.extend(_message(record) for record in batch)
        return PolledBatch(messages=tuple(messages), assigned=tuple(sorted(assigned)), revoked=tuple(sorted(revoked)))

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on from `offset`; without effect where the partition is not ours."""
        if self._is_ours(tp):
            self._consumer.seek(_theirs(tp), offset)

    def committed(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Committed next offsets of the group."""
        timeout_ms = milliseconds(self._settings.request_timeout)
        with kafka_border():
            found = {tp: self._consumer.committed(_theirs(tp), timeout_ms=timeout_ms) for tp in tps}
        return {tp: offset for tp, offset in found.items() if offset is not None}

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit what is ours: Kafka accepts a member's commit for a partition of another without a word.

        Raises:
            OwnershipLost: the group has gone on without us; the next poll reports what was revoked.
            SourceUnavailable: not done within the request timeout; it may have happened all the same.
        """
        ours = {_theirs(tp): OffsetAndMetadata(at, "", -1) for tp, at in offsets.items() if self._is_ours(tp)}
        if ours:
            with kafka_border():
                self._consumer.commit(ours, timeout_ms=milliseconds(self._settings.request_timeout))

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Stop fetching from these partitions of ours."""
        ours = [tp for tp in tps if self._is_ours(tp)]
        self._paused.update(ours)
        self._consumer.pause(*map(_theirs, ours))

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """Fetch from these partitions of ours again."""
        ours = [tp for tp in tps if self._is_ours(tp)]
        self._paused.difference_update(ours)
        self._consumer.resume(*map(_theirs, ours))

    def bounds(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """First offset that retention has left, and the offset after the last."""
        wanted, timeout_ms = list(tps), milliseconds(self._settings.request_timeout)
        if not wanted:
            return {}
        theirs = [_theirs(tp) for tp in wanted]
        with kafka_border():
            first = self._consumer.beginning_offsets(theirs, timeout_ms=timeout_ms)
            end = self._consumer.end_offsets(theirs, timeout_ms=timeout_ms)
        return {tp: (first[_theirs(tp)], end[_theirs(tp)]) for tp in wanted}

    def lag(self) -> Mapping[TopicPartition, int]:
        """Messages between our position and the end, from what the last fetches said."""
        found: dict[TopicPartition, int] = {}
        if self._client is None:
            return found
        for tp in self._owned:
            if not self._is_ours(tp):
                continue
            end = self._client.highwater(_theirs(tp))
            with kafka_border():
                position = self._client._subscription.position(_theirs(tp))  # noqa: SLF001 - the public call asks Kafka
            if end is not None and position is not None:
                found[tp] = max(0, end - position.offset)
        return found

    def probe(self) -> None:
        """Ask for an end offset: a poll tells nothing, it is empty when the brokers are away.

        Raises:
            SourceUnavailable: no answer within the connect timeout.
        """
        timeout_ms = milliseconds(self._settings.connect_timeout)
        with kafka_border():
            self._consumer.end_offsets([KafkaTopicPartition(self._settings.topic, 0)], timeout_ms=timeout_ms)

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        client, self._client = self._client, None
        self._owned.clear()
        self._paused.clear()
        if client is not None:
            client.close(autocommit=False, timeout_ms=_CLOSE_MS)
        self._rebalances.notes.clear()

    @property
    def _consumer(self) -> Any:
        if self._client is None:
            raise SourceFailed("the source has not been started")
        return self._client

    def _is_ours(self, tp: TopicPartition) -> bool:
        return _theirs(tp) in self._consumer.assignment()

    def _take_notes(self) -> tuple[set[TopicPartition], set[TopicPartition]]:
        """Fold the rebalances since the last poll into what is new and what is gone, as seen by the caller."""
        assigned: set[TopicPartition] = set()
        revoked: set[TopicPartition] = set()
        while self._rebalances.notes:
            kind, tps = self._rebalances.notes.popleft()
            if kind == "assigned":
                assigned.update(tps)
            else:
                assigned.difference_update(tps)
                revoked.update(self._owned.intersection(tps))
        self._owned = (self._owned - revoked) | assigned
        # A partition that left and came back is fetched again, whatever was paused before.
        self._paused -= revoked
        return assigned, revoked

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        request_ms = milliseconds(settings.request_timeout)
        return {
            **settings.connection(),
            "group_id": self._group_id,
            "group_instance_id": settings.group_instance_id,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "allow_auto_create_topics": False,
            "partition_assignment_strategy": [CooperativeStickyAssignor],
            "max_poll_records": settings.max_poll_records,
            "fetch_max_bytes": int(settings.fetch_bytes),
            "max_partition_fetch_bytes": int(settings.fetch_bytes),
            "session_timeout_ms": milliseconds(settings.session_timeout),
            "heartbeat_interval_ms": milliseconds(settings.heartbeat_interval),
            "max_poll_interval_ms": milliseconds(settings.max_poll_interval),
            "request_timeout_ms": max(request_ms, 1000),
        }


def _keep_rejoining(coordinator: Any) -> None:
    """Make a rejoin that a poll's timeout has interrupted go on with the next poll.

    kafka-python 3.0.12 decides at each poll whether a rejoin is needed. When the reason was new metadata, the leader
    takes note of the metadata in the middle of the rejoin, and so finds no reason to go on if the poll ends just then:
    its partitions never arrive, its heartbeat stays off, and the group expels it without its noticing, for ever.
    """
    needs_rejoin = coordinator.need_rejoin
    coordinator.need_rejoin = lambda: coordinator.rejoining or needs_rejoin()


def _message(record: Any) -> Message:
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=max(0, record.timestamp),
        key=record.key,
        value=record.value,
        headers=tuple((name, value or b"") for name, value in record.headers),
    )


def _ours(tps: Iterable[KafkaTopicPartition]) -> tuple[TopicPartition, ...]:
    return tuple(TopicPartition(tp.topic, tp.partition) for tp in tps)


def _theirs(tp: TopicPartition) -> KafkaTopicPartition:
    return KafkaTopicPartition(tp.topic, tp.partition)
