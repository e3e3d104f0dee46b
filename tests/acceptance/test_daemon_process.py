"""The daemon as a process: started, asked, told to stop."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.acceptance.running_daemon import eventually


def test_the_daemon_ends_with_exit_code_0_on_sigterm_and_has_committed(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path
) -> None:
    """What was judged is past the watermark when the process has ended; a verdict is in the ledger and in MLflow."""
    from consumers.kafka_publish import publish_lines
    from consumers.settings import SourceSettings
    from monitor.ledger.ledger import open_ledger

    config = {
        "app": "shop",
        "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "group_id": topic},
        "mlflow": {"tracking_uri": mlflow_uri},
        "ledger": {"url": f"sqlite:///{tmp_path / 'ledger.db'}"},
        "sampling": {"rate": "always"},
        "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 40, "target": 0.9}],
        "http": {"port": 0},
        "log": {"format": "json"},
    }
    file = tmp_path / "tracewatch.yaml"
    file.write_text(yaml.safe_dump(config))
    log_file = tmp_path / "daemon.log"
    with log_file.open("wb") as log:
        daemon = subprocess.Popen([sys.executable, "-m", "monitor", "run", "-c", str(file)], stdout=log, stderr=log)
    try:
        eventually(lambda: _address(log_file), "the address is logged", while_true=lambda: daemon.poll() is None)
        address = _address(log_file)
        eventually(lambda: httpx.get(f"{address}/readyz", timeout=60).status_code == 200, "ready")
        event = {"trace_id": "one", "inputs": {"question": "q"}, "outputs": "an answer"}
        publish_lines(SourceSettings(**config["source"]), [json.dumps(event).encode()])
        eventually(
            lambda: 'verdict="pass"} 1.0' in httpx.get(f"{address}/metrics", timeout=60).text, "the verdict is counted"
        )
        assert httpx.get(f"{address}/healthz").json() == {"alive": True}
    finally:
        daemon.send_signal(signal.SIGTERM)
        ended = daemon.wait(timeout=60)
    assert ended == 0, log_file.read_text()[-3000:]
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert ledger.positions.received() == 1
    assert ledger.intake.unpublished(1) == []
    ledger.close()


def _address(log_file: Path) -> str | None:
    for line in log_file.read_text().splitlines(keepends=True):
        if line.startswith("{") and line.endswith("\n") and (address := json.loads(line).get("address")):
            return str(address)
    return None
