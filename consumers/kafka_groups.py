"""Questions and orders to the cluster about a consumer group: who is in it, where it stands, set it elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka import TopicPartition as KafkaTopicPartition
from kafka.errors import CoordinatorNotAvailableError, NoError, NotCoordinatorError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from consumers.errors import ConsumersError, SourceUnavailable
from consumers.kafka_connection import describe
from consumers.kafka_topics import admin_client
from consumers.messages import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_TIMEOUT_S = 10.0


class GroupIsActive(ConsumersError):
    """The group has members: what they commit would undo what is set beside them."""


def active_members(options: Mapping[str, Any], group_id: str) -> tuple[str, ...]:
    """Client and host of each member; empty for a group that nobody is in, or that never was.

    Raises:
        SourceUnavailable: the cluster cannot be reached, or refuses.
    """
    with admin_client(options, _TIMEOUT_S) as admin:
        found = _patiently(lambda: admin.describe_groups([group_id]))[group_id]
    if found.get("error") and found["group_state"] != "Dead":
        raise SourceUnavailable(f"group {group_id}: {found['error']}")
    members = (f"{each['client_id']} on {each['client_host'].lstrip('/')}" for each in found["members"])
    return tuple(sorted(members))


def committed_offsets(
    options: Mapping[str, Any], group_id: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """Committed next offsets; a partition without one is left out.

    Raises:
        SourceUnavailable: the cluster cannot be reached, or refuses.
    """
    wanted = [KafkaTopicPartition(*each) for each in partitions]
    with admin_client(options, _TIMEOUT_S) as admin:
        found = _patiently(lambda: admin.list_group_offsets({group_id: wanted}))[group_id]
    return {
        TopicPartition(each.topic, each.partition): committed.offset
        for each, committed in found.items()
        if committed.offset >= 0
    }


def set_offsets(options: Mapping[str, Any], group_id: str, offsets: Mapping[TopicPartition, int]) -> None:
    """Commit next offsets in the name of a group that nobody is in.

    Raises:
        GroupIsActive: somebody is; partitions may have been set all the same, until they commit.
        SourceUnavailable: the cluster cannot be reached, or refuses.
    """
    wanted = {KafkaTopicPartition(*each): OffsetAndMetadata(at, "", -1) for each, at in offsets.items()}
    with admin_client(options, _TIMEOUT_S) as admin:
        answers = _patiently(lambda: admin.alter_group_offsets(group_id, wanted))
    for partition, answer in answers.items():
        if answer is UnknownMemberIdError:
            raise GroupIsActive(f"a member has joined group {group_id} meanwhile")
        if answer is not NoError:
            raise SourceUnavailable(f"{partition.topic}[{partition.partition}]: {describe(answer())}")


def _patiently(ask: Callable[[], Any]) -> Any:
    """A cluster that has never had a group makes the topic of their offsets when it is first asked for one."""
    away = retry_if_exception_type((CoordinatorNotAvailableError, NotCoordinatorError))
    for attempt in Retrying(retry=away, stop=stop_after_delay(_TIMEOUT_S), wait=wait_fixed(0.2), reraise=True):
        with attempt:
            return ask()
    return None
