"""A real Alertmanager on free loopback ports, of which nothing is left."""

import subprocess
import threading
import time
from pathlib import Path

import httpx

from monitor.demo.free_ports import free_port

_PATIENCE_S = 60.0
_CONFIGURATION = """\
route: {receiver: nobody, group_by: [app], group_wait: 1s, group_interval: 1s}
receivers: [{name: nobody}]
"""


class AlertmanagerServer:
    """One Alertmanager without a cluster. It may be ended and started again: its address stays."""

    def __init__(self, command: str, folder: Path, configuration: str = _CONFIGURATION) -> None:
        self._command = command
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        (folder / "alertmanager.yml").write_text(configuration)

    def start(self) -> None:
        """Return when it answers."""
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._command,
                    f"--config.file={self._folder / 'alertmanager.yml'}",
                    f"--storage.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=log,
            )
        deadline, pause = time.monotonic() + _PATIENCE_S, threading.Event()
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Alertmanager does not start: {(self._folder / 'log').read_text()[-2000:]}")
            pause.wait(0.05)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.address}/-/ready", timeout=0.2).is_success
        except httpx.HTTPError:
            return False
