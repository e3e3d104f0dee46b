"""Daemons as processes of their own, for tests that kill and freeze them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.acceptance.running_daemon import eventually


@dataclass(frozen=True, kw_only=True, slots=True)
class DaemonProcess:
    """A process of `tracewatch run`, and where it logs."""

    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text()

    @property
    def address(self) -> str | None:
        """Of its HTTP port, once it answers."""
        # The last line may be half written.
        whole = [line for line in self.log.splitlines(keepends=True) if line.startswith("{") and line.endswith("\n")]
        lines = map(json.loads, whole)
        return next((line["address"] for line in lines if "address" in line), None)

    def ready(self) -> "DaemonProcess":
        """Return when `/readyz` says so."""
        alive = lambda: self.process.poll() is None  # noqa: E731 - used twice
        eventually(lambda: self.address, f"the address is logged: {self.log[-2000:]}", while_true=alive)
        eventually(
            lambda: httpx.get(f"{self.address}/readyz", timeout=60).status_code == 200, "ready", while_true=alive
        )
        return self


@contextmanager
def daemon_process(config: Mapping[str, Any], folder: Path, name: str = "daemon") -> Iterator[DaemonProcess]:
    """Start a daemon, and kill it at the end if it still runs."""
    file, log_file = folder / f"{name}.yaml", folder / f"{name}.log"
    file.write_text(yaml.safe_dump({**config, "log": {"format": "json"}}))
    with log_file.open("wb") as log:
        command = [sys.executable, "-m", "monitor", "run", "-c", str(file)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield DaemonProcess(process=process, log_file=log_file)
    finally:
        process.kill()
        process.wait()
