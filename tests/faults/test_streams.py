"""What the stream itself may bring: a broker that dies, copies in any order, poison, a backlog, a clock that jumps."""

from __future__ import annotations

import json
import random
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from consumers.kafka_archive import read_topic
from consumers.kafka_producer import ReliableProducer
from consumers.kafka_publish import publish_lines
from consumers.settings import SourceSettings
from monitor.demo.kafka_broker import KafkaBroker
from monitor.ledger.ledger import open_ledger
from tests.acceptance.running_daemon import eventually, running
from tests.faults.daemon_process import DaemonProcess
from tests.faults.event_load import EventLoad, event
from tests.faults.extent import choose
from tests.faults.reckoning import Reckoning
from tests.faults.shifted_clock import ShiftedClock
from tests.faults.trial import fault_config, fault_document
from tests.patient_source import patient

MEBIBYTE = 1024 * 1024


def _good(name: str, **changes: Any) -> bytes:
    return event(name, **changes)


def _poison() -> dict[str, tuple[bytes | None, tuple[tuple[str, bytes], ...], str]]:
    """Name -> (value, headers, reason): twenty kinds of messages that are no trace events."""
    fields = {"trace_id": "p", "inputs": {}, "outputs": 1}

    def without(name: str) -> bytes:
        return json.dumps({key: value for key, value in fields.items() if key != name}).encode()

    def changed(**changes: Any) -> bytes:
        return json.dumps(fields | changes).encode()

    deep = b'{"trace_id": "p", "inputs": ' + b'{"a":' * 80 + b"1" + b"}" * 80 + b', "outputs": 1}'
    return {
        "tombstone": (None, (), "empty"),
        "no bytes": (b"", (), "empty"),
        "prose": (b"hello", (), "not_json"),
        "cut off": (b'{"trace_id": "p", "inputs": {}, "outp', (), "not_json"),
        "two documents": (changed() + b" {}", (), "not_json"),
        "half a character": (b'{"trace_id": "p", "inputs": {}, "outputs": "\\ud800"}', (), "not_json"),
        "latin-1": (b'{"trace_id": "p\xff", "inputs": {}, "outputs": 1}', (), "not_utf8"),
        "NaN": (b'{"trace_id": "p", "inputs": {"x": NaN}, "outputs": 1}', (), "not_finite"),
        "infinity": (b'{"trace_id": "p", "inputs": {}, "outputs": -Infinity}', (), "not_finite"),
        "an array": (b"[]", (), "wrong_type"),
        "null": (b"null", (), "wrong_type"),
        "no id": (without("trace_id"), (), "missing_field"),
        "no inputs": (without("inputs"), (), "missing_field"),
        "no outputs": (without("outputs"), (), "missing_field"),
        "id of nothing": (changed(trace_id=""), (), "missing_field"),
        "id too long": (changed(trace_id="x" * 300), (), "trace_id_too_long"),
        "NUL in the id": (changed(trace_id="a\0b"), (), "bad_text"),
        "too large": (changed(outputs="x" * (2 * MEBIBYTE)), (), "too_large"),
        "too deep": (deep, (), "too_deep"),
        "of tomorrow": (changed(timestamp_ms=4_102_444_800_000), (), "future_timestamp"),
    }


def test_a_broker_that_is_killed_under_load(mlflow_uri: str, tmp_path: Path, judge_endpoint: Any) -> None:
    """It comes back on its data and its ports; the daemon, which never stopped, goes on by itself."""
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with KafkaBroker(tmp_path / "kafka") as broker:
        broker.create_topic("traces", 3)
        config = fault_config(broker.bootstrap_servers, "traces", mlflow_uri, ledger_url, judge_endpoint.base_url)
        ledger = open_ledger(ledger_url)
        reckoning = Reckoning.begin("traces", ledger, mlflow_uri, judge_endpoint)
        with running(config) as daemon:
            with EventLoad(config.source, "before", per_second=20.0) as load:
                daemon.eventually(lambda: reckoning.received() >= 10, "events flow")
            publish_lines(patient(config.source), [event(f"before-{load.sent + number}") for number in range(30)])
            events = load.sent + 30
            broker.kill()
            daemon.eventually(lambda: not daemon.readiness()[1]["dependencies"]["kafka"]["up"], "the outage is known")
            broker.start()
            began_s = time.monotonic()
            daemon.eventually(lambda: daemon.readiness()[0] == 200, "ready again")
            publish_lines(patient(config.source), [event(f"before-{events + number}") for number in range(20)])
            daemon.eventually(lambda: reckoning.received() > events, "events flow again")
            flows_s = time.monotonic() - began_s
            figures = reckoning.settle([f"before-{number}" for number in range(events + 20)])
        ledger.close()
    figures.report(flows_again_s=f"{flows_s:.1f}")


def test_copies_in_any_order(kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, judge_endpoint: Any) -> None:
    """Each event one to three times, shuffled over the partitions: the first that comes counts."""
    events = choose(short=60, full=600)
    rng = random.Random(8)
    copies = [number for number in range(events) for _ in range(rng.randint(1, 3))]
    rng.shuffle(copies)
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = fault_config(
        kafka.bootstrap_servers, topic, mlflow_uri, ledger_url, judge_endpoint.base_url, judge={"timeout": "30s"}
    )
    producer = ReliableProducer(patient(config.source))
    for number in copies:
        producer.send(topic, event(f"copy-{number}"), key=str(rng.random()).encode())
    producer.flush()
    producer.close()
    ledger = open_ledger(ledger_url)
    reckoning = Reckoning.begin(topic, ledger, mlflow_uri, judge_endpoint)
    with running(config):
        figures = reckoning.settle(
            [f"copy-{number}" for number in range(events)],
            received=len(copies),
            others={"duplicates": len(copies) - events},
        )
    ledger.close()
    figures.report(copies=len(copies))
    assert figures.repeated == 0


def test_poison_of_twenty_kinds(kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, judge_endpoint: Any) -> None:
    """Each is one dead letter with its reason; hostile texts in sound events are scored like any other."""
    poison = _poison()
    assert len(poison) == 20
    hostile = [
        "\0 NUL",
        "x" * 900_000,
        "\u202e right to left",
        "{{7*7}} ${HOME} %s {0}",
        "\x1b[31m",
        "\U0001f600" * 1000,
    ]
    good = [
        _good(f"sound-{number}", outputs=hostile[number] if number < len(hostile) else "fine") for number in range(40)
    ]
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = fault_config(
        kafka.bootstrap_servers, topic, mlflow_uri, ledger_url, judge_endpoint.base_url, dead_letters={"hold": "0s"}
    )
    producer = ReliableProducer(patient(config.source))
    everything = [(value, headers) for value, headers, _ in poison.values()] + [(value, ()) for value in good]
    random.Random(9).shuffle(everything)
    for value, headers in everything:
        producer.send(topic, value, key=b"k", headers=headers)
    producer.flush()
    producer.close()
    ledger = open_ledger(ledger_url)
    reckoning = Reckoning.begin(topic, ledger, mlflow_uri, judge_endpoint)
    with running(config):
        figures = reckoning.settle(
            [f"sound-{number}" for number in range(len(good))],
            received=len(everything),
            others={"dead_lettered": len(poison)},
        )
    ledger.close()
    letters = list(read_topic(config.source, config.source.dead_letters))
    reasons = sorted((letter.header("tracewatch.reason") or b"").decode() for letter in letters)
    assert reasons == sorted(reason for _, _, reason in poison.values())
    figures.report(poison=len(poison))


def test_a_clock_that_jumps_by_hours(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, judge_endpoint: Any
) -> None:
    """Back and forth, under load: the lease, the budget and the counts bear it, and no alert comes of it."""
    jumps = choose(short=6, full=20)
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = fault_config(
        kafka.bootstrap_servers,
        topic,
        mlflow_uri,
        ledger_url,
        judge_endpoint.base_url,
        # A clock hours behind finds every event to be of the future; how far is allowed is a setting.
        source={"limits": {"future": "30d"}},
        judge={"timeout": "30s"},
    )
    ledger = open_ledger(ledger_url)
    reckoning = Reckoning.begin(topic, ledger, mlflow_uri, judge_endpoint)
    clock, rng = ShiftedClock(), random.Random(10)
    with running(config, clock) as daemon:
        with EventLoad(config.source, "jump", per_second=15.0) as load:
            for number in range(jumps):
                before = reckoning.received()
                daemon.eventually(lambda before=before: reckoning.received() >= before + 3, "events flow")
                clock.advance(timedelta(hours=rng.choice([3, 7]) * (-1) ** number))
        figures = reckoning.settle(load.trace_ids)
        daemon.eventually(lambda: daemon.readiness()[0] == 200, "ready")
    # A clock that jumps makes silences; it makes nothing bad.
    assert {alert.kind for alert in ledger.alerts.history(10)} <= {"unknown"}
    ledger.close()
    figures.report(jumps=jumps)
    assert figures.repeated == 0


def test_a_backlog_does_not_grow_into_memory(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, judge_endpoint: Any
) -> None:
    """A long stretch of large events, few of them judged: memory grows by a fraction of what passes through."""
    events = choose(short=10_000, full=200_000)
    text = "word " * 500
    source = SourceSettings(bootstrap_servers=kafka.bootstrap_servers, topic=topic)
    publish_lines(source, (event(f"long-{number}", outputs=text) for number in range(events)))
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    document = fault_document(
        kafka.bootstrap_servers,
        topic,
        mlflow_uri,
        ledger_url,
        judge_endpoint.base_url,
        sampling={"rate": choose(short=0.01, full=0.002)},
        scorers=[{"name": "safety", "use": "Safety"}],
        pipeline={"max_events_in_flight": 200},
    )
    ledger = open_ledger(ledger_url)
    with DaemonProcess(tmp_path, document) as daemon:
        daemon.start()
        eventually(lambda: ledger.positions.received() > 0, "it consumes", while_true=lambda: daemon.running)
        memory, began_s, at_start = psutil.Process(daemon.pid), time.monotonic(), ledger.positions.received()
        start = most = memory.memory_info().rss

        def done() -> bool:
            nonlocal most
            most = max(most, memory.memory_info().rss)
            return ledger.positions.received() >= events

        eventually(done, "all of it past the watermark", while_true=lambda: daemon.running, patience_s=1800.0)
        per_second = (events - at_start) / (time.monotonic() - began_s)
        assert daemon.terminate() == 0
    accounted = {row.outcome: row.count for row in ledger.positions.accounted()}
    verdicts = sum(row.count for row in ledger.figures.verdict_counts() if row.segment == "all")
    assert ledger.positions.mismatches() == []
    ledger.close()
    passed = events * len(text)
    print(
        f"events={events} effects={verdicts} lost={events - sum(accounted.values())} "
        f"doubled={verdicts - accounted['scored']} passed_mb={passed / MEBIBYTE:.0f} "
        f"rss_start_mb={start / MEBIBYTE:.0f} rss_max_mb={most / MEBIBYTE:.0f} events_per_s={per_second:.0f}"
    )
    assert sum(accounted.values()) == events
    assert verdicts == accounted["scored"]
    assert most - start < 200 * MEBIBYTE
