"""Daemons killed, told to stop, frozen, and coming and going: nothing is lost, nothing is doubled."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from consumers.kafka_publish import publish_lines
from consumers.settings import SourceSettings
from monitor.ledger.ledger import Ledger, open_ledger
from tests.acceptance.running_daemon import eventually
from tests.faults.daemon_process import DaemonProcess
from tests.faults.event_load import EventLoad, event
from tests.faults.extent import choose
from tests.faults.pauses import hold
from tests.faults.reckoning import Reckoning
from tests.faults.trial import fault_document

WORKERS = 4


@pytest.fixture
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """A ledger on SQLite."""
    del request
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def _document(kafka: Any, topic: str, mlflow_uri: str, ledger_url: str, judge_endpoint: Any) -> dict[str, Any]:
    return fault_document(
        kafka.bootstrap_servers,
        topic,
        mlflow_uri,
        ledger_url,
        judge_endpoint.base_url,
        source={"session_timeout": "4s", "heartbeat_interval": "500ms"},
        ledger={"lease_ttl": "4s"},
        # Nothing is to be asked twice because the machine is busy.
        judge={"timeout": "30s"},
        pipeline={"workers": WORKERS, "commit_every": "100ms"},
    )


def _members(kafka: Any, group: str) -> int:
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    try:
        return len(admin.describe_groups([group])[group]["members"])
    finally:
        admin.close()


def _source(kafka: Any, topic: str) -> SourceSettings:
    return SourceSettings(bootstrap_servers=kafka.bootstrap_servers, topic=topic)


def test_a_daemon_killed_at_random_instants_of_a_load(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, judge_endpoint: Any, ledger: Ledger
) -> None:
    """Only calls in flight are paid twice: at most one a worker and kill."""
    kills, events = choose(short=3, full=20), choose(short=200, full=800)
    publish_lines(_source(kafka, topic), [event(f"kill-{number}") for number in range(events)])
    document = _document(kafka, topic, mlflow_uri, f"sqlite:///{tmp_path / 'ledger.db'}", judge_endpoint)
    reckoning = Reckoning.begin(topic, ledger, mlflow_uri, judge_endpoint)
    with DaemonProcess(tmp_path, document) as daemon:
        for instant in sorted(random.Random(5).sample(range(5, events - 40), kills)):
            daemon.start()
            eventually(
                lambda instant=instant: reckoning.received() >= instant,
                f"{instant} events past the watermark",
                while_true=lambda: daemon.running,
            )
            daemon.kill()
        daemon.start()
        eventually(lambda: daemon.hears, "it hears", while_true=lambda: daemon.running)
        figures = reckoning.settle([f"kill-{number}" for number in range(events)], while_true=lambda: daemon.running)
        assert daemon.terminate() == 0
    figures.report(kills=kills)
    assert figures.repeated is not None
    assert 0 <= figures.repeated <= kills * WORKERS


def test_a_daemon_told_to_stop_at_random_instants_of_a_load(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, judge_endpoint: Any, ledger: Ledger
) -> None:
    """An orderly stop pays nothing twice, and is over with exit code 0."""
    stops, events = choose(short=2, full=5), choose(short=150, full=400)
    publish_lines(_source(kafka, topic), [event(f"stop-{number}") for number in range(events)])
    document = _document(kafka, topic, mlflow_uri, f"sqlite:///{tmp_path / 'ledger.db'}", judge_endpoint)
    reckoning = Reckoning.begin(topic, ledger, mlflow_uri, judge_endpoint)
    with DaemonProcess(tmp_path, document) as daemon:
        for instant in sorted(random.Random(6).sample(range(5, events - 40), stops)):
            daemon.start()
            eventually(
                lambda instant=instant: daemon.hears and reckoning.received() >= instant,
                f"{instant} events past the watermark",
                while_true=lambda: daemon.running,
            )
            assert daemon.terminate() == 0
        daemon.start()
        eventually(lambda: daemon.hears, "it hears", while_true=lambda: daemon.running)
        figures = reckoning.settle([f"stop-{number}" for number in range(events)], while_true=lambda: daemon.running)
        assert daemon.terminate() == 0
    figures.report(stops=stops)
    assert figures.repeated == 0


def test_a_frozen_daemon_wakes_into_a_group_that_has_gone_on(
    kafka: Any, topic: str, mlflow_server: str, tmp_path: Path, judge_endpoint: Any, postgres_ledger_url: str
) -> None:
    """Stopped for longer than the session and the lease last: another replica takes all of it over meanwhile."""
    document = _document(kafka, topic, mlflow_server, postgres_ledger_url, judge_endpoint)
    ledger = open_ledger(postgres_ledger_url)
    reckoning = Reckoning.begin(topic, ledger, mlflow_server, judge_endpoint)
    with DaemonProcess(tmp_path, document, "first") as first, DaemonProcess(tmp_path, document, "second") as second:
        with EventLoad(_source(kafka, topic), "frozen", per_second=10.0) as load:
            first.start()
            eventually(lambda: reckoning.received() >= 5, "events flow", while_true=lambda: first.running)
            second.start()
            eventually(
                lambda: "partition assigned" in second.log,
                "both have partitions",
                while_true=lambda: first.running and second.running,
            )
            first.freeze()
            sent = load.sent
            began_s = time.monotonic()
            eventually(
                lambda: reckoning.received() > sent + 5,
                "the other one has taken over",
                while_true=lambda: second.running,
            )
            taken_over_s = time.monotonic() - began_s
            # The other's own partitions may have brought as much: it wakes when the group has given it up.
            eventually(lambda: _members(kafka, topic) == 1, "it is expelled", while_true=lambda: second.running)
            first.thaw()
            eventually(lambda: load.sent > sent + 20, "events after it woke", while_true=lambda: second.running)
        figures = reckoning.settle(load.trace_ids, while_true=lambda: second.running)
        assert first.terminate() == 0
        assert second.terminate() == 0
    ledger.close()
    figures.report(taken_over_s=f"{taken_over_s:.1f}")


def test_replicas_that_come_and_go_all_the_time(
    kafka: Any, topic: str, mlflow_server: str, tmp_path: Path, judge_endpoint: Any, postgres_ledger_url: str
) -> None:
    """Three of them, every few seconds one is started, told to stop, or killed."""
    lasting_s = choose(short=15.0, full=60.0)
    document = _document(kafka, topic, mlflow_server, postgres_ledger_url, judge_endpoint)
    ledger = open_ledger(postgres_ledger_url)
    reckoning = Reckoning.begin(topic, ledger, mlflow_server, judge_endpoint)
    rng, changes, kills = random.Random(7), 0, 0
    with ExitStack() as stack:
        replicas = [stack.enter_context(DaemonProcess(tmp_path, document, f"replica-{n}")) for n in range(3)]
        with EventLoad(_source(kafka, topic), "churn", per_second=8.0) as load:
            until_s = time.monotonic() + lasting_s
            while time.monotonic() < until_s:
                with hold(rng.uniform(1.0, 3.0)):
                    replica = rng.choice(replicas)
                    if not replica.running:
                        replica.start()
                    elif rng.random() < 0.5:
                        # One that is still importing has nobody to hear it yet.
                        assert replica.terminate() in {0, -signal.SIGTERM}
                    else:
                        replica.kill()
                        kills += 1
                    changes += 1
        for replica in replicas:
            if not replica.running:
                replica.start()
        figures = reckoning.settle(load.trace_ids, while_true=lambda: all(each.running for each in replicas))
        eventually(lambda: all(replica.hears for replica in replicas), "all of them have come up")
        assert [replica.terminate() for replica in replicas] == [0, 0, 0]
    ledger.close()
    figures.report(changes=changes, kills=kills)
    assert figures.repeated is not None
    assert 0 <= figures.repeated <= changes * WORKERS
