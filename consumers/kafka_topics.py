"""Questions and orders to the cluster about topics: does it exist, how many partitions, make it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafka import KafkaAdminClient
from kafka.errors import BrokerResponseError, TopicAlreadyExistsError, UnknownTopicOrPartitionError

from consumers.errors import SourceUnavailable
from consumers.kafka_connection import connect, describe, kafka_border

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Topic:
    """A topic that the cluster has."""

    name: str
    partitions: int


def create_topic(options: Mapping[str, Any], name: str, partitions: int, *, timeout_s: float = 10.0) -> None:
    """Create a topic and wait until every partition has a leader; one that exists is left as it is.

    `options` are connection options as `SourceSettings.connection()` gives them.

    Raises:
        SourceUnavailable: the cluster cannot be reached, or refuses.
    """
    with admin_client(options, timeout_s) as admin:
        try:
            admin.create_topics(
                {name: {"num_partitions": partitions, "replication_factor": -1}}, timeout_ms=int(timeout_s * 1000)
            )
        except TopicAlreadyExistsError:
            return
        except BrokerResponseError as refusal:
            # A policy, a quota, a name too near to another: an operator can mend each of them, or make the topic.
            raise SourceUnavailable(f"the cluster does not make topic `{name}`: {describe(refusal)}") from refusal
        admin.wait_for_topics([name], timeout_ms=int(timeout_s * 1000))


def describe_topic(options: Mapping[str, Any], name: str, *, timeout_s: float = 5.0) -> Topic | None:
    """The topic, or None when the cluster does not have it (or does not let us see it).

    Raises:
        SourceUnavailable: the cluster cannot be reached, or refuses.
    """
    with admin_client(options, timeout_s) as admin:
        try:
            described = admin.describe_topics([name])
        except UnknownTopicOrPartitionError:
            return None
    for topic in described:
        if topic["error_code"] == 0:
            return Topic(name=name, partitions=len(topic["partitions"]))
    return None


@contextmanager
def admin_client(options: Mapping[str, Any], timeout_s: float) -> Iterator[Any]:
    """The library's admin client for the length of a block, behind the border."""
    # The client demands a request timeout below its idle limit, and above none.
    milliseconds = max(1000, int(timeout_s * 1000))
    limits = {"bootstrap_timeout_ms": milliseconds, "request_timeout_ms": milliseconds}
    admin = connect(KafkaAdminClient, {**options, **limits})
    try:
        with kafka_border():
            yield admin
    finally:
        admin.close()
