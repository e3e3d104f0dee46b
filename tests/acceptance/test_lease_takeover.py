"""A replica that holds the lease and freezes: another takes over, and the one that wakes publishes nothing."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.daemon_process import DaemonProcess, daemon_process
from tests.acceptance.running_daemon import eventually

EVENTS = 40
REGRESSION = "production_regression"
TTL_S = 6


def test_a_frozen_holder_loses_the_lease_and_publishes_nothing_when_it_wakes(
    kafka: Any,
    topic: str,
    mlflow_server: str,
    postgres_ledger_url: str,
    tmp_path: Path,
    show_figure: Callable[[str], None],
) -> None:
    """One alert, one record, one verdict of each, whichever replica was at work; both end with exit code 0."""
    from consumers.kafka_publish import publish_lines
    from consumers.settings import SourceSettings
    from monitor.ledger import open_ledger

    config = {
        "app": topic,
        "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "session_timeout": "6s"},
        "mlflow": {"tracking_uri": mlflow_server},
        "ledger": {"url": postgres_ledger_url, "lease_ttl": f"{TTL_S}s"},
        "sampling": {"rate": "always"},
        "dataset": {"name": topic, "rate": "always"},
        "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 9, "target": 0.9}],
        "statistics": {"block": "1s", "close_after": "0s"},
        "alerts": {"false_alarm_every": "1h", "min_verdicts": 1},
        "pipeline": {"upkeep_every": "500ms", "commit_every": "200ms"},
        "http": {"port": 0},
    }
    source = SourceSettings(**config["source"])
    ledger = open_ledger(postgres_ledger_url)
    with daemon_process(config, tmp_path, "first") as first:
        first.ready()
        assert _leads(postgres_ledger_url, first)
        with daemon_process(config, tmp_path, "second") as second:
            second.ready()
            os.kill(first.process.pid, signal.SIGSTOP)
            frozen = time.monotonic()
            eventually(lambda: _leads(postgres_ledger_url, second), "the second has taken over")
            took_over_s = time.monotonic() - frozen
            token = _lease(postgres_ledger_url)
            publish_lines(source, [_event(number) for number in range(EVENTS)])
            eventually(lambda: ledger.positions.received() == EVENTS, "every event past the watermark")
            eventually(lambda: _regressions(ledger) == ["firing"], "the alert fires")
            eventually(lambda: not ledger.members.unreconciled(topic, 1), "the dataset in line")
            alerts = [(row.id, row.fired_ms) for row in ledger.alerts.history(9) if row.kind == REGRESSION]

            os.kill(first.process.pid, signal.SIGCONT)
            eventually(
                lambda: "lease lost" in first.log or "lease not held" in first.log, "the first knows that it lost"
            )
            publish_lines(source, [_event(number) for number in range(EVENTS, 2 * EVENTS)])
            eventually(lambda: ledger.positions.received() == 2 * EVENTS, "every event past the watermark")
            eventually(lambda: not ledger.members.unreconciled(topic, 1), "the dataset in line")
            assert _lease(postgres_ledger_url) == token
            for daemon in (first, second):
                daemon.process.send_signal(signal.SIGTERM)
            assert [daemon.process.wait(timeout=180) for daemon in (first, second)] == [0, 0]
    show_figure(f"events={2 * EVENTS} took_over_s={took_over_s:.1f} ttl_s={TTL_S}")
    assert [(row.id, row.fired_ms) for row in ledger.alerts.history(9) if row.kind == REGRESSION] == alerts
    assert {row.outcome: row.count for row in ledger.positions.accounted()} == {"scored": 2 * EVENTS}
    assert ledger.positions.mismatches() == []
    assert ledger.members.count(topic) == 2 * EVENTS
    assert _records(mlflow_server, topic) == Counter({f"q{number}": 1 for number in range(2 * EVENTS)})
    assert ledger.replicas.seen_since(0) == []
    ledger.close()


def _regressions(ledger: Any) -> list[str]:
    return [row.state for row in ledger.alerts.history(9) if row.kind == REGRESSION]


def _event(number: int) -> bytes:
    value = {
        "trace_id": f"takeover-{number}",
        "inputs": {"question": f"q{number}"},
        "outputs": "far too long an answer",
    }
    return json.dumps(value).encode()


def _lease(url: str) -> tuple[str, int]:
    """Who holds the lease, with which token."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT holder, token FROM tracewatch_leases").first()
    return ("", 0) if found is None else (found.holder, found.token)


def _leads(url: str, daemon: DaemonProcess) -> bool:
    return f":{daemon.process.pid}:" in _lease(url)[0]


def _records(tracking_uri: str, name: str) -> Counter[str]:
    from monitor.dataset.mlflow_store import MlflowDatasetStore

    return Counter(row.inputs["question"] for row in MlflowDatasetStore(tracking_uri, name, name).rows())
