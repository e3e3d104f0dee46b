"""A child process that speaks JSON lines over its standard streams, and whose last words are kept."""

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

_LAST_WORDS = 40
# Seconds between asking a child to end and ending it.
_TERMINATION_S = 3.0


class ChildTimeout(Exception):
    """The child said nothing in time."""


class Child:
    """One child process, started at once in its own session; `stop` may be called from any thread."""

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", module],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._errors: deque[str] = deque(maxlen=_LAST_WORDS)
        self._threads = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def send(self, message: Mapping[str, Any]) -> None:
        """One line of JSON; a child that is gone is noticed when reading."""
        self.send_line(json.dumps(message).encode() + b"\n")

    def send_line(self, line: bytes) -> None:
        """A line that is JSON already."""
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return

    def end_input(self) -> None:
        """Tell the child that there is nothing more."""
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            return

    def messages(self, deadline: float) -> Iterator[dict[str, Any]]:
        """The child's messages until it ends.

        Args:
            deadline: on the clock of `time.monotonic`.

        Raises:
            ChildTimeout: the deadline passed.
        """
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - monotonic()))
            except Empty:
                raise ChildTimeout from None
            if line is None:
                return
            yield json.loads(line)

    def waiting(self) -> Iterator[dict[str, Any]]:
        """The messages that are there already, without waiting."""
        while True:
            try:
                line = self._lines.get_nowait()
            except Empty:
                return
            if line is None:
                # Whoever waits for the next message must still learn that there is none.
                self._lines.put(None)
                return
            yield json.loads(line)

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        for thread in self._threads:
            thread.join(timeout=1)
        return "\n".join(self._errors)

    def stop(self) -> None:
        """Ask it to end; `close` makes sure of it."""
        self._process.terminate()

    def close(self, grace_s: float = 0.0) -> int:
        """End it and wait for it.

        Args:
            grace_s: how long it may take to end by itself after its input has ended.

        Returns:
            Its exit code, or minus the signal that ended it.
        """
        self.end_input()
        code = self._waited(grace_s)
        if code is None:
            self._process.terminate()
            code = self._waited(_TERMINATION_S)
        if code is None:
            self._process.kill()
            code = self._process.wait()
        for thread, stream in zip(self._threads, (self._process.stdout, self._process.stderr), strict=True):
            thread.join(timeout=1)
            # A process that escaped the child may hold the pipe open: closing would wait for it.
            if stream is not None and not thread.is_alive():
                stream.close()
        return code

    def _waited(self, seconds: float) -> int | None:
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _read_lines(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - opened as a pipe
        while line := self._process.stderr.readline(4096):
            self._errors.append(line.decode("utf-8", "replace").rstrip())
