"""The daemon as a process that is told to stop, with a judge that hangs, on a real broker."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.held_endpoint import HeldEndpoint
from tests.acceptance.running_daemon import eventually

EVENTS = 12
WORKERS = 2


@pytest.fixture
def endpoint() -> Iterator[HeldEndpoint]:
    with HeldEndpoint() as held:
        yield held
        held.answers.set()


@contextmanager
def daemon(file: Path, log_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a process; it never outlives the block."""
    with log_file.open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "monitor", "run", "-c", str(file)], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_process_that_is_told_to_stop_leaves_in_order_and_one_that_is_told_twice_at_once(
    kafka: Any,
    topic: str,
    mlflow_uri: str,
    tmp_path: Path,
    endpoint: HeldEndpoint,
    show_figure: Callable[[str], None],
) -> None:
    """Three lives on one stream. The first hangs and is told twice, the second hangs and is told once, the third works.

    Whatever ended the others, the third finds every event, and Kafka's offsets are the ledger's positions.
    """
    from kafka import KafkaAdminClient, TopicPartition

    from consumers.kafka_publish import publish_lines
    from consumers.settings import SourceSettings
    from monitor.ledger.ledger import open_ledger

    source = {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "group_id": topic}
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = {
        "app": "shop",
        "source": source | {"session_timeout": "6s", "heartbeat_interval": "200ms"},
        "mlflow": {"tracking_uri": mlflow_uri},
        "ledger": {"url": ledger_url, "lease_ttl": "3s"},
        "judge": {"base_url": endpoint.base_url, "api_key": "none", "model": "scripted", "timeout": "120s"},
        "sampling": {"rate": "always"},
        "dataset": None,
        "scorers": [{"name": "safety", "use": "Safety"}],
        "pipeline": {"commit_every": "100ms", "workers": WORKERS, "shutdown_deadline": "1s"},
        "http": {"port": 0},
        "log": {"format": "json"},
    }
    file, log_file = tmp_path / "tracewatch.yaml", tmp_path / "daemon.log"
    file.write_text(yaml.safe_dump(config))
    publish_lines(SourceSettings(**source), [_event(number) for number in range(EVENTS)])
    ledger = open_ledger(ledger_url)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)

    def members() -> int:
        return len(admin.describe_groups([topic])[topic]["members"])

    with daemon(file, log_file) as first:
        eventually(lambda: endpoint.asked == WORKERS, "the judge is asked", while_true=lambda: first.poll() is None)
        first.send_signal(signal.SIGTERM)
        first.send_signal(signal.SIGINT)
        assert first.wait(120) in {128 + signal.SIGTERM, 128 + signal.SIGINT}
    with daemon(file, log_file) as second:
        eventually(lambda: endpoint.asked == 2 * WORKERS, "asked again", while_true=lambda: second.poll() is None)
        second.send_signal(signal.SIGTERM)
        assert second.wait(120) == 0, log_file.read_text()[-3000:]
        assert members() == 0
    assert ledger.positions.received() == 0
    endpoint.answers.set()
    with daemon(file, log_file) as third:
        eventually(
            lambda: ledger.positions.received() == EVENTS, "every event", while_true=lambda: third.poll() is None
        )
        third.send_signal(signal.SIGTERM)
        assert third.wait(120) == 0, log_file.read_text()[-3000:]
        assert members() == 0
    offsets = admin.list_group_offsets({topic: None})[topic]
    committed = {tp.partition: offset.offset for tp, offset in offsets.items() if isinstance(tp, TopicPartition)}
    admin.close()
    rows = ledger.positions.all()
    assert committed == {row.partition: row.next_offset for row in rows if row.received}
    lost, doubled = EVENTS - sum(row.received for row in rows), sum(row.lost for row in rows)
    show_figure(f"events={EVENTS} lost={lost} doubled={doubled} repeated={endpoint.asked - EVENTS}")
    assert {row.outcome: row.count for row in ledger.positions.accounted()} == {"scored": EVENTS}
    assert endpoint.asked == EVENTS + 2 * WORKERS, "only what was at the judge is asked again"
    ledger.close()


def test_a_process_whose_topic_was_made_anew_exits_2_with_the_command_and_without_a_traceback(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path
) -> None:
    """The last line on standard error says what to type."""
    from monitor.ledger.ledger import open_ledger

    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = open_ledger(ledger_url)
    ledger.positions.open(topic, 0, 7)
    ledger.close()
    config = {
        "app": "shop",
        "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic},
        "mlflow": {"tracking_uri": mlflow_uri},
        "ledger": {"url": ledger_url},
        "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 40}],
        "http": {"port": 0},
    }
    file, log_file = tmp_path / "tracewatch.yaml", tmp_path / "daemon.log"
    file.write_text(yaml.safe_dump(config))
    with daemon(file, log_file) as process:
        assert process.wait(180) == 2, log_file.read_text()[-3000:]
    text = log_file.read_text()
    assert "`tracewatch reset -c FILE --to beginning`" in " ".join(text.split("\n")[-4:])
    assert "Traceback" not in text


def _event(number: int) -> bytes:
    value = {"trace_id": f"event-{number}", "inputs": {"question": f"q{number}"}, "outputs": f"answer {number}"}
    return json.dumps(value).encode()
