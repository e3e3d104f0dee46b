"""A real Prometheus and a real Alertmanager, each a process of its own on a loopback port."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx

from monitor.demo.free_ports import free_port

_START_S = 60.0
_PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.1


class NotInstalled(RuntimeError):
    """The machine lacks the server; the text says which package brings it."""


def installed(command: str, package: str) -> str:
    """The path of a command.

    Raises:
        NotInstalled: the machine has none.
    """
    path = shutil.which(command)
    if path is None:
        raise NotInstalled(f"{command} is not installed (Debian: apt-get install {package})")
    return path


def output_of(command: str, package: str, *arguments: str, folder: Path, text: str | None = None) -> str:
    """Run a tool in a folder and return what it printed; it must succeed.

    Raises:
        NotInstalled: the machine has none.
    """
    ran = subprocess.run(
        [installed(command, package), *arguments],
        input=text,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
        cwd=folder,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


class _Server:
    """A process whose files lie in `folder`, as a context manager: it answers inside, and is gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # One for all questions: to make a client takes more of a core than the answer.
        self._http = httpx.Client(timeout=60)

    @property
    def address(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}"

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def start(self) -> Self:
        """Start it and return when it is ready.

        Raises:
            RuntimeError: it does not come up, with the end of its log.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, cwd=self.folder)
        try:
            eventually(self._ready, f"{type(self).__name__} is ready", _START_S)
        except AssertionError:
            self.stop()
            raise RuntimeError(f"{self._command()[0]} does not start: {self._log.read_text()[-2000:]}") from None
        return self

    def stop(self) -> None:
        """End it, and wait."""
        self._http.close()
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _ready(self) -> bool:
        try:
            return self._http.get(f"{self.address}/-/ready").is_success
        except httpx.HTTPError:
            return False


class Prometheus(_Server):
    """Prometheus with the configuration given; relative paths in it begin in `folder`."""

    def __init__(self, folder: Path, config: str) -> None:
        super().__init__(folder)
        self._path = installed("prometheus", "prometheus")
        (folder / "prometheus.yml").write_text(config, encoding="utf-8")

    def _command(self) -> Sequence[str]:
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        return [self._path, "--config.file=prometheus.yml", "--storage.tsdb.path=data", listen]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query: `metric` is the labels, `value` a pair of time and text."""
        return self._result("query", query=expression)

    def query_range(self, expression: str, *, over_s: float, step_s: float) -> list[dict[str, Any]]:
        """The series of a range that ends now: `values` are pairs of time and text."""
        now = time.time()
        return self._result("query_range", query=expression, start=now - over_s, end=now, step=step_s)

    def firing(self) -> list[dict[str, Any]]:
        """The alerts that fire."""
        answer = self._http.get(f"{self.address}/api/v1/alerts").json()
        return [alert for alert in answer["data"]["alerts"] if alert["state"] == "firing"]

    def has_evaluated(self, since: float) -> bool:
        """Whether every group of rules was evaluated after this time, in seconds since the epoch."""
        groups = self._http.get(f"{self.address}/api/v1/rules").json()["data"]["groups"]
        times = [datetime.fromisoformat(re.sub(r"\.\d+", "", each["lastEvaluation"])) for each in groups]
        return bool(times) and min(times).timestamp() > since

    def _result(self, what: str, **parameters: Any) -> list[dict[str, Any]]:
        answer = self._http.post(f"{self.address}/api/v1/{what}", data=parameters).json()
        assert answer["status"] == "success", f"{answer.get('error')}: {parameters['query']}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


class Alertmanager(_Server):
    """Alertmanager, alone in its cluster, with the configuration given."""

    def __init__(self, folder: Path, config: str) -> None:
        super().__init__(folder)
        self._path = installed("prometheus-alertmanager", "prometheus-alertmanager")
        (folder / "alertmanager.yml").write_text(config, encoding="utf-8")

    def _command(self) -> Sequence[str]:
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        files = ("--config.file=alertmanager.yml", "--storage.path=data")
        return [self._path, *files, listen, "--cluster.listen-address="]

    def post(self, alerts: Sequence[dict[str, Any]]) -> None:
        """Hand alerts in, as Prometheus does."""
        self._http.post(f"{self.address}/api/v2/alerts", json=list(alerts)).raise_for_status()

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts that it holds, those held back too: `status.inhibitedBy` says by what."""
        answer: list[dict[str, Any]] = self._http.get(f"{self.address}/api/v2/alerts").raise_for_status().json()
        return answer


def eventually(holds: Callable[[], bool], what: str, patience_s: float = _PATIENCE_S) -> None:
    """Return as soon as it holds; a test that waits longer than its patience fails with `what`."""
    pause = threading.Event()
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        pause.wait(_LOOK_EVERY_S)
