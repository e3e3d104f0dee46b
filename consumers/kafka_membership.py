"""Membership in a consumer group: what the group gives and takes, and when the member goes along with it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from kafka.consumer.subscription_state import ConsumerRebalanceListener

from consumers.messages import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafka import TopicPartition as KafkaTopicPartition

Kind = Literal["assigned", "leaving", "lost"]


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Takes notes of rebalances, and holds the group until what it takes has been handed over.

    A partition moves in two rounds: the first takes it from its owner, and only the second, which begins when that
    owner rejoins, gives it to another. So its owner may finish, commit, and rejoin then. It stays a member meanwhile:
    its heartbeats go on. Only if another member comes or goes in between do the brokers wait for it, and no longer than
    the longest poll interval.

    The callbacks run on the client's own thread while `poll` waits for them in the caller's; nothing of the consumer
    may be called there.
    """

    def __init__(self) -> None:
        self.notes: deque[tuple[Kind, tuple[TopicPartition, ...]]] = deque()
        self._held: set[TopicPartition] = set()
        self._coordinator: Any = None

    def attach(self, coordinator: Any) -> None:
        """Let `poll` rejoin when we say so: see `_needs_rejoin`. Once for each client, before it subscribes."""
        self.notes.clear()
        self._held.clear()
        self._coordinator = coordinator
        library_says = coordinator.need_rejoin
        coordinator.need_rejoin = lambda: self._needs_rejoin(library_says())

    def release(self, partitions: Iterable[TopicPartition]) -> None:
        """Nothing of these partitions is in hand any more: others may have them."""
        self._held.difference_update(partitions)

    @property
    def fenced(self) -> bool:
        """Whether another consumer has taken our `group_instance_id`.

        The library only logs it, and stops its heartbeat; polls go on bringing messages.
        """
        coordinator = self._coordinator
        if coordinator is None or coordinator.group_instance_id is None:
            return False
        with coordinator._lock:  # noqa: SLF001 - the library has no public word for it
            beats = coordinator._heartbeat_enabled  # noqa: SLF001
            return bool(coordinator.stable() and not coordinator.rejoining and not beats)

    def on_partitions_assigned(self, assigned: Iterable[KafkaTopicPartition]) -> None:
        """The group gave us these."""
        self.notes.append(("assigned", _ours(assigned)))

    def on_partitions_revoked(self, revoked: Iterable[KafkaTopicPartition]) -> None:
        """The group wants these from us; no other has them before we rejoin."""
        taken = _ours(revoked)
        self._held.update(taken)
        self.notes.append(("leaving", taken))

    def on_partitions_lost(self, lost: Iterable[KafkaTopicPartition]) -> None:
        """The group went on without us: others may have these already."""
        self.notes.append(("lost", _ours(lost)))

    def _needs_rejoin(self, library_says: bool) -> bool:  # noqa: FBT001 - one caller, beside it
        """Whether to rejoin at this poll, asked by the caller's thread and again by the client's own.

        A rejoin that a poll's timeout has interrupted goes on with the next poll. kafka-python 3.0.12 decides at each
        poll whether a rejoin is needed. When the reason was new metadata, the leader takes note of the metadata in the
        middle of the rejoin, and so finds no reason to go on if the poll ends just then: its partitions never arrive,
        its heartbeat stays off, and the group expels it without its noticing, for ever.
        """
        if self._held and self._coordinator._generation.is_lost():  # noqa: SLF001 - no public word for it
            self.notes.append(("lost", tuple(self._held)))
            self._held.clear()
        self._keep_what_was_joined()
        return not self._held and (self._coordinator.rejoining or library_says)

    def _keep_what_was_joined(self) -> None:
        """Let a join that ended between two polls count.

        kafka-python 3.0.12 awaits a join only while it is under way. One that has ended meanwhile it begins anew, which
        makes the whole group join again: members that are often between polls then drive each other round for ever.
        """
        coordinator = self._coordinator
        joined = coordinator._join_task  # noqa: SLF001 - no public word for it
        if coordinator.rejoining and joined is not None and joined.is_done and joined.succeeded():
            coordinator._join_task = coordinator._manager.call_soon(_value_of, joined)  # noqa: SLF001


async def _value_of(future: Any) -> Any:
    return future.value


def _ours(tps: Iterable[KafkaTopicPartition]) -> tuple[TopicPartition, ...]:
    return tuple(TopicPartition(tp.topic, tp.partition) for tp in tps)
