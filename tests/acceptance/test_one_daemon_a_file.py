"""A SQLite ledger serves one daemon: as processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.acceptance.daemon_process import daemon_process


def test_a_second_daemon_on_a_sqlite_ledger_is_exit_2_and_says_who_has_it(mlflow_uri: str, tmp_path: Path) -> None:
    """Under whatever name; commands work beside the first; after kill -9 of the first the next one starts."""
    (tmp_path / "events.jsonl").write_text("")
    (tmp_path / "other name.db").symlink_to(tmp_path / "ledger.db")

    def config(ledger: str) -> dict[str, Any]:
        return {
            "app": "shop",
            "source": {"kind": "file", "path": str(tmp_path / "events.jsonl")},
            "mlflow": {"tracking_uri": mlflow_uri},
            "ledger": {"url": f"sqlite:///{tmp_path / ledger}"},
            "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 40}],
            "http": {"port": 0},
        }

    with daemon_process(config("ledger.db"), tmp_path, "first") as first:
        first.ready()
        with daemon_process(config("other name.db"), tmp_path, "second") as second:
            assert second.process.wait(timeout=180) == 2, second.log
            assert f"in use by another daemon (process {first.process.pid} on {os.uname().nodename}" in second.log
            assert "a SQLite ledger serves one daemon" in second.log
            assert "Traceback" not in second.log
        status = subprocess.run(
            [sys.executable, "-m", "monitor", "status", "-c", str(tmp_path / "second.yaml")],
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
        assert f":{first.process.pid}:" in status.stdout
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        with daemon_process(config("ledger.db"), tmp_path, "third") as third:
            third.ready()
            third.process.terminate()
            assert third.process.wait(timeout=180) == 0
