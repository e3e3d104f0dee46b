"""A real `mlflow server` as a process of its own, which tests may stop, kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx
from mlflow_stores import copy_store

from monitor.demo.free_ports import free_port

# MLflow is imported twice, one after the other: by the command and by the server that it starts.
_START_S = 240.0


class MlflowServer:
    """One server on a loopback port with its store in `folder`; both outlast `stop`, `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store = copy_store(folder / "store.db")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and return when it answers.

        Raises:
            RuntimeError: it does not, with the end of its log.
        """
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", self._store]
        command += ["--artifacts-destination", str(self._folder)]
        with self._log.open("ab") as log:
            # Its workers for jobs are seven processes that nothing here asks for.
            environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        pause = threading.Event()
        for _ in range(round(_START_S / 0.1)):
            if self._answers():
                return
            if self._process.poll() is not None:
                break
            pause.wait(0.1)
        self.kill()
        raise RuntimeError(f"mlflow server does not start: {self._log.read_text()[-1000:]}")

    def stop(self) -> None:
        """SIGTERM to all of its processes, and wait."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to all of its processes, as a crash of the machine would."""
        self._end(signal.SIGKILL)

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.uri}/health").is_success
        except httpx.HTTPError:
            return False

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            process.wait()
