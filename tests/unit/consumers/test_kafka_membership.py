"""Traps of the client library about membership, each on a real broker."""

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
from kafka import KafkaAdminClient

from consumers.errors import MemberFenced, OwnershipLost, SourceUnavailable
from consumers.kafka_publish import publish_lines
from consumers.kafka_source import KafkaSource
from consumers.settings import SourceSettings
from monitor.demo.kafka_broker import KafkaBroker

PATIENCE_S = 60


@pytest.fixture
def settings(kafka, topic):
    """A group of its own, whose members notice each other soon."""
    return SourceSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic=topic,
        group_id=f"group-{topic}",
        session_timeout="6s",
        heartbeat_interval="100ms",
    )


class Member:
    """A source that is polled; what it was told."""

    def __init__(self, settings, **changes) -> None:
        self.source = KafkaSource(settings.model_copy(update=changes))
        self.owned, self.gone, self.events = set(), [], []

    def poll(self):
        """One short poll; wanted partitions are let go at once."""
        batch = self.source.poll(0.05)
        self.gone += [*batch.revoked, *batch.leaving]
        self.owned = (self.owned - {*batch.revoked, *batch.leaving}) | set(batch.assigned)
        self.events += [*batch.assigned, *batch.revoked, *batch.leaving]
        self.source.release(batch.leaving)
        return batch.messages


@pytest.fixture
def join(settings):
    """Starts members, and closes them."""
    members = []

    def start(**changes):
        members.append(Member(settings, **changes))
        members[-1].source.start()
        return members[-1]

    yield start
    for member in members:
        member.source.close()


def until(condition, *members):
    """Poll the members until the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        for member in members:
            member.poll()


@contextmanager
def polling(*members):
    """Poll the members in a thread of their own, as another process would."""
    stop = threading.Event()

    def run():
        while not stop.is_set():
            for member in members:
                member.poll()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_member_whose_identity_another_consumer_takes_is_told_although_it_has_nothing_to_commit(join):
    """The library's poll would go on bringing messages for ever; only its log would say so."""
    first = join(group_instance_id="same")
    until(lambda: len(first.owned) == 3, first)
    second = join(group_instance_id="same")
    with pytest.raises(MemberFenced, match=r"'same': give each replica a source\.group_instance_id of its own"):
        until(lambda: False, second, first)
    tp = next(iter(first.owned))
    with pytest.raises(MemberFenced):
        first.source.commit({tp: 1})
    until(lambda: len(second.owned) == 3, second)
    second.source.commit({tp: 2})
    assert second.source.committed([tp]) == {tp: 2}


def test_a_static_member_that_restarts_in_time_costs_the_others_no_rebalance(join):
    """It gets its own partitions back, and the other member hears nothing of it."""
    one, two = join(group_instance_id="one"), join(group_instance_id="two")
    until(lambda: one.owned and two.owned and len(one.owned | two.owned) == 3 and not one.owned & two.owned, one, two)
    before = set(one.owned)
    two.events.clear()
    with polling(two):
        one.source.close()
        again = join(group_instance_id="one")
        until(lambda: again.owned == before, again)
    assert two.events == []


def test_a_member_that_did_not_poll_for_too_long_is_told_by_its_commit_and_by_its_next_poll(join, kafka, settings):
    """The client leaves the group in silence; until the next poll it still shows its old partitions."""
    member = join(max_poll_interval=timedelta(seconds=1))
    until(lambda: len(member.owned) == 3, member)
    tp = next(iter(member.owned))
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    until(lambda: not admin.describe_groups([settings.group_id])[settings.group_id]["members"])
    admin.close()
    with pytest.raises(OwnershipLost):
        member.source.commit({tp: 1})
    until(lambda: len(member.gone) == 3 and len(member.owned) == 3, member)


def hand_over_begins(first, second):
    """Polls both until the first is asked for partitions, which it keeps for now."""
    leaving = ()
    until(lambda: len(first.owned) == 3, first)

    def asked():
        nonlocal leaving
        leaving = first.source.poll(0.05).leaving
        return leaving

    until(asked, second)
    return set(leaving)


def test_a_member_that_hands_over_for_longer_than_the_session_stays_a_member(join):
    """Its heartbeats go on: nobody gets the partition before it lets go, and its commit counts."""
    first, second = (join(session_timeout=timedelta(seconds=3)) for _ in range(2))
    leaving = hand_over_begins(first, second)
    until_s = time.monotonic() + 6
    while time.monotonic() < until_s:
        assert not first.source.poll(0.05).revoked
        second.poll()
    assert not leaving & second.owned
    first.source.commit(dict.fromkeys(leaving, 5))
    first.source.release(leaving)
    until(lambda: second.owned == leaving, first, second)
    assert second.source.committed(leaving) == dict.fromkeys(leaving, 5)


def test_a_member_that_hands_over_while_others_join_is_waited_for_no_longer_than_the_poll_interval(join):
    """Then the group goes on without it, and it is told, and must not commit for what is another's."""
    patience = {"session_timeout": timedelta(seconds=3), "max_poll_interval": timedelta(seconds=4)}
    first, second = (join(**patience) for _ in range(2))
    leaving = hand_over_begins(first, second)
    third = join(**patience)

    until(lambda: set(first.gone) >= leaving, first, second, third)
    until(lambda: len(first.owned | second.owned | third.owned) == 3, first, second, third)
    foreign = leaving - first.owned
    first.source.commit(dict.fromkeys(foreign, 1))
    assert first.source.committed(foreign) == {}


def test_what_was_to_be_handed_over_is_lost_when_the_group_goes_on_without_us(join):
    """A member that is frozen in the middle of handing over must not commit for what is another's by then."""
    first, second = (join(session_timeout=timedelta(seconds=3)) for _ in range(2))
    leaving = hand_over_begins(first, second)
    first.source._client._coordinator.reset_generation()
    until(lambda: set(first.gone) >= leaving, first, second)
    until(lambda: leaving & second.owned, second, first)
    taken = min(leaving & second.owned)
    first.source.commit({taken: 1})
    assert first.source.committed([taken]) == {}


def test_a_dead_broker_shows_in_the_probe_and_records_flow_soon_after_its_return(tmp_path, show_figure):
    """The polls between are empty and say nothing."""
    with KafkaBroker(tmp_path) as broker:
        broker.create_topic("traces", 1)
        settings = SourceSettings(
            bootstrap_servers=broker.bootstrap_servers, topic="traces", group_id="g", connect_timeout="1s"
        )
        member = Member(settings)
        member.source.start()
        until(lambda: member.owned, member)
        publish_lines(settings, [b"before"])
        found = []
        until(lambda: found.extend(member.poll()) or found)
        broker.kill()
        assert not member.poll()
        with pytest.raises(SourceUnavailable):
            member.source.probe()
        broker.start()
        publish_lines(settings, [b"after"])
        began = time.monotonic()
        found.clear()
        until(lambda: found.extend(member.poll()) or found)
        show_figure(f"records flow {time.monotonic() - began:.1f} s after the broker's return")
        assert [message.value for message in found] == [b"after"]
        member.source.probe()
        member.source.close()
