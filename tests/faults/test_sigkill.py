"""The daemon killed without warning, again and again, during a load."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.running_daemon import eventually

EVENTS = 300
KILLS = 3


def test_a_daemon_killed_at_random_instants_loses_nothing_and_doubles_nothing(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, judge_endpoint: Any
) -> None:
    """Every event has one verdict and one assessment, every count is right, and few judge calls were paid twice."""
    from mlflow.tracking import MlflowClient

    from consumers.kafka_publish import publish_lines
    from consumers.settings import SourceSettings
    from monitor.ledger.ledger import open_ledger

    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = {
        "app": topic,
        "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "session_timeout": "6s"},
        "mlflow": {"tracking_uri": mlflow_uri},
        "ledger": {"url": ledger_url, "lease_ttl": "5s"},
        "judge": {"base_url": judge_endpoint.base_url, "api_key": "none", "model": "scripted"},
        "sampling": {"rate": "always"},
        "scorers": [{"name": "safety", "use": "Safety"}],
        "pipeline": {"commit_every": "100ms", "max_events_in_flight": 20, "workers": 4},
        "http": {"port": 0},
    }
    file = tmp_path / "tracewatch.yaml"
    file.write_text(yaml.safe_dump(config))
    publish_lines(SourceSettings(**config["source"]), [_event(number) for number in range(EVENTS)])
    ledger = open_ledger(ledger_url)
    asked_before = judge_endpoint.calls["judge"]
    instants = sorted(random.Random(5).sample(range(10, EVENTS - 50), KILLS))
    for instant in instants:
        daemon = _start(file, tmp_path)
        eventually(
            lambda instant=instant: ledger.positions.received() >= instant,
            f"{instant} events past the watermark",
            while_true=lambda daemon=daemon: daemon.poll() is None,
        )
        daemon.kill()
        daemon.wait()
    daemon = _start(file, tmp_path)
    began = time.monotonic()
    try:
        eventually(lambda: ledger.positions.received() == EVENTS, "every event past the watermark")
        eventually(lambda: not ledger.intake.unpublished(1), "every verdict published")
    finally:
        daemon.terminate()
        daemon.wait()
    recovered_s = time.monotonic() - began
    client = MlflowClient(mlflow_uri)
    experiment = client.get_experiment_by_name(topic)
    stored = client.search_traces(locations=[experiment.experiment_id], max_results=EVENTS + 1)
    assessments = Counter(trace.info.trace_id for trace in stored for _ in trace.info.assessments)
    repeated = judge_endpoint.calls["judge"] - asked_before - EVENTS
    lost = EVENTS - len(assessments)
    doubled = sum(assessments.values()) - len(assessments)
    print(
        f"events={EVENTS} kills={KILLS} effects={len(assessments)} lost={lost} doubled={doubled} "
        f"repeated={repeated} recovered_s={recovered_s:.1f}"
    )
    assert (lost, doubled) == (0, 0)
    assert {row.outcome: row.count for row in ledger.positions.accounted()} == {"scored": EVENTS}
    assert ledger.positions.mismatches() == []
    # Only calls in flight are paid twice: at most one a worker and kill.
    assert 0 <= repeated <= KILLS * 4
    ledger.close()


def _event(number: int) -> bytes:
    value = {"trace_id": f"event-{number}", "inputs": {"question": f"q{number}"}, "outputs": f"answer {number}"}
    return json.dumps(value).encode()


def _start(file: Path, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "daemon.log").open("ab") as log:
        command = [sys.executable, "-m", "monitor", "run", "-c", str(file)]
        return subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
