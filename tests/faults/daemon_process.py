"""A daemon as a process of its own, that can be told, frozen and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

_PATIENCE_S = 120.0


class DaemonProcess:
    """`tracewatch run` on a configuration; a context manager that leaves nothing running."""

    def __init__(self, folder: Path, document: Mapping[str, Any], name: str = "daemon") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{name}.yaml"
        self._file.write_text(yaml.safe_dump(dict(document)))
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lives_before = 0

    def start(self) -> None:
        """Start it; it need not be ready when this returns."""
        assert not self.running
        self._lives_before = len(self.log) if self._log.exists() else 0
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "monitor", "run", "-c", str(self._file)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))

    @property
    def running(self) -> bool:
        """Whether it runs, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def hears(self) -> bool:
        """Whether it has come so far that a signal is not the death of a process that still imports."""
        return self.running and "http port answers" in self.log[self._lives_before :]

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written so far, over all its lives."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """`kill -9`, and wait for its end."""
        self._send(signal.SIGKILL)
        self._wait()

    def freeze(self) -> None:
        """Let it do nothing from now on."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if no time had passed."""
        self._send(signal.SIGCONT)

    def terminate(self) -> int:
        """Tell it to stop; its exit code."""
        self._send(signal.SIGTERM)
        return self._wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            self.kill()
        if error is not None:
            print(self.log[-4000:])

    def _send(self, number: int) -> None:
        os.kill(self.pid, number)

    def _wait(self) -> int:
        assert self._process is not None
        return self._process.wait(_PATIENCE_S)
