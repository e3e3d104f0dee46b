"""Messages of a Kafka topic, shared by the members of a consumer group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata

from consumers.errors import MemberFenced, SourceFailed, SourceUnavailable
from consumers.kafka_connection import connect, kafka_border
from consumers.kafka_membership import Membership
from consumers.kafka_records import message_of
from consumers.kafka_topics import describe_topic
from consumers.messages import Message, TopicPartition
from consumers.settings import SourceSettings, milliseconds
from consumers.source import PolledBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CLOSE_MS = 3000


class KafkaSource:
    """A `TraceSource` on one topic. Without `group_id` in its settings it takes the one given."""

    def __init__(self, settings: SourceSettings, *, group_id: str | None = None) -> None:
        self._settings = settings
        self._group_id = settings.group_id or group_id or "tracewatch"
        self._membership = Membership()
        self._client: Any = None
        self._owned: set[TopicPartition] = set()
        self._leaving: set[TopicPartition] = set()
        self._ends: dict[TopicPartition, int] = {}

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
        self._membership.attach(self._client._coordinator)  # noqa: SLF001 - see there
        with kafka_border():
            self._client.subscribe([settings.topic], listener=self._membership)
        # Asking for an offset also fetches the topic's partitions: without them the first join would assign nothing.
        self.probe()

    def poll(self, timeout_s: float) -> PolledBatch:
        """Messages, and what the group has given to us and taken from us since the last poll.

        The client may deliver messages of a partition in the very call in which it is assigned. These are put back, so
        that the caller can seek first.

        Raises:
            MemberFenced: another consumer has our `group_instance_id`.
            SourceUnavailable: the brokers refuse us; that they are away shows only in `probe`.
        """
        with kafka_border():
            records, out_of_range = self._fetch(timeout_s)
        if self._membership.fenced:
            raise MemberFenced(f"another consumer has taken the identity {self._settings.group_instance_id!r}")
        assigned, leaving, revoked = self._take_notes()
        messages: list[Message] = []
        for kafka_tp, batch in records.items():
            tp = _ours(kafka_tp)
            if tp in assigned:
                self.seek(tp, batch[0].offset)
            elif tp in self._owned:
                messages.extend(message_of(record) for record in batch)
        return PolledBatch(
            messages=tuple(messages),
            assigned=tuple(sorted(assigned)),
            leaving=tuple(sorted(leaving)),
            revoked=tuple(sorted(revoked)),
            out_of_range=tuple(sorted((out_of_range & self._owned) - assigned)),
        )

    def release(self, tps: Iterable[TopicPartition]) -> None:
        """Let others have these partitions, which the group wants from us; the next polls rejoin."""
        released = set(tps)
        self._leaving -= released
        self._membership.release(released)

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
            MemberFenced: another consumer has our `group_instance_id`.
            OwnershipLost: the group has gone on without us; the next poll reports what was revoked.
            SourceUnavailable: not done within the request timeout; it may have happened all the same.
        """
        ours = {
            _theirs(tp): OffsetAndMetadata(at, "", -1)
            for tp, at in offsets.items()
            if tp in self._leaving or self._is_ours(tp)
        }
        if ours:
            with kafka_border():
                self._consumer.commit(ours, timeout_ms=milliseconds(self._settings.request_timeout))

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Stop fetching from these partitions of ours."""
        self._consumer.pause(*(_theirs(tp) for tp in tps if self._is_ours(tp)))

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """Fetch from these partitions of ours again."""
        self._consumer.resume(*(_theirs(tp) for tp in tps if self._is_ours(tp)))

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
        """Messages between our position and the end, from what the last fetches and the last probe said.

        A partition that is paused is not fetched: of its end only the probes know.
        """
        found: dict[TopicPartition, int] = {}
        if self._client is None:
            return found
        for tp in self._owned:
            if not self._is_ours(tp):
                continue
            ends = [end for end in (self._client.highwater(_theirs(tp)), self._ends.get(tp)) if end is not None]
            with kafka_border():
                position = self._client._subscription.position(_theirs(tp))  # noqa: SLF001 - the public call asks Kafka
            if ends and position is not None:
                found[tp] = max(0, max(ends) - position.offset)
        return found

    def probe(self) -> None:
        """Ask for the end offsets: a poll tells nothing, it is empty when the brokers are away.

        Raises:
            SourceUnavailable: no answer within the connect timeout.
        """
        timeout_ms = milliseconds(self._settings.connect_timeout)
        asked = [tp for tp in self._owned if self._is_ours(tp)] or [TopicPartition(self._settings.topic, 0)]
        with kafka_border():
            ends = self._consumer.end_offsets([_theirs(tp) for tp in asked], timeout_ms=timeout_ms)
        self._ends = {_ours(tp): end for tp, end in ends.items()}

    def close(self) -> None:
        """Leave the group, so that others take over at once."""
        client, self._client = self._client, None
        self._owned.clear()
        self._leaving.clear()
        self._ends.clear()
        if client is not None:
            client.close(autocommit=False, timeout_ms=_CLOSE_MS)

    @property
    def _consumer(self) -> Any:
        if self._client is None:
            raise SourceFailed("the source has not been started")
        return self._client

    def _is_ours(self, tp: TopicPartition) -> bool:
        return _theirs(tp) in self._consumer.assignment()

    def _fetch(self, timeout_s: float) -> tuple[dict[KafkaTopicPartition, list[Any]], set[TopicPartition]]:
        """The next records, and the partitions of ours whose position is not in their log; these are paused.

        The client could go to the first offset there is by itself, but it would not say so, and what lies between would
        be lost without a word.
        """
        self._make_room()
        try:
            return self._consumer.poll(timeout_ms=round(timeout_s * 1000)), set()
        except OffsetOutOfRangeError as error:
            astray = set(error.args[0])
        except LogTruncationError as error:
            astray = set(error.divergent_offsets)
        except NoOffsetForPartitionError as error:
            # Given to us a moment ago and never committed: the caller will seek, others are fetched meanwhile.
            self._consumer.seek_to_beginning(*error.args[0])
            return {}, set()
        ours = {_ours(tp) for tp in astray}
        self.pause(ours)
        return {}, ours

    def _make_room(self) -> None:
        """Take a batch that is used up off the client's hands.

        As long as it holds one, kafka-python 3.0.12 brings nothing of what it kept of paused partitions, and with empty
        hands it takes back one of them; where the other partitions have come to their ends, that is for ever.
        """
        fetcher = self._consumer._fetcher  # noqa: SLF001 - no public call gives it back
        if not fetcher._next_partition_records:  # noqa: SLF001
            fetcher._next_partition_records = None  # noqa: SLF001

    def _take_notes(self) -> tuple[set[TopicPartition], set[TopicPartition], set[TopicPartition]]:
        """Fold the rebalances since the last poll into what is new, wanted and gone, as seen by the caller."""
        assigned: set[TopicPartition] = set()
        leaving: set[TopicPartition] = set()
        revoked: set[TopicPartition] = set()
        notes = self._membership.notes
        while notes:
            kind, tps = notes.popleft()
            if kind == "assigned":
                assigned.update(tps)
                continue
            assigned.difference_update(tps)
            known = self._owned.intersection(tps)
            if kind == "leaving":
                leaving |= known
                # What the caller has not heard of needs no handing over.
                self._membership.release(set(tps) - known)
            else:
                revoked |= known | self._leaving.intersection(tps)
                leaving.difference_update(tps)
        self._owned = (self._owned - leaving - revoked) | assigned
        self._leaving = (self._leaving - revoked) | leaving
        self._ends = {tp: end for tp, end in self._ends.items() if tp in self._owned}
        return assigned, leaving, revoked

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        request_ms = milliseconds(settings.request_timeout)
        return {
            **settings.connection(),
            "group_id": self._group_id,
            "group_instance_id": settings.group_instance_id,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
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


def _ours(tp: KafkaTopicPartition) -> TopicPartition:
    return TopicPartition(tp.topic, tp.partition)


def _theirs(tp: TopicPartition) -> KafkaTopicPartition:
    return KafkaTopicPartition(tp.topic, tp.partition)
