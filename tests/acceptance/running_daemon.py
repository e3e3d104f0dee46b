"""A daemon in a thread of the test run, for acceptance tests: the same parts as the command, without its signals."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO, cast

import httpx
import structlog

from monitor.clock import Clock, SystemClock
from monitor.config import Config
from monitor.daemon.life import Daemon
from tests.judges_of_the_process import undone_afterwards

_PATIENCE_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningDaemon:
    """The daemon's address, and how to ask it."""

    address: str
    thread: threading.Thread
    # One for all questions: to make a client takes more of a core than a daemon's answer.
    http: httpx.Client

    def metrics(self) -> str:
        """The text of `/metrics`."""
        return self.http.get(f"{self.address}/metrics").text

    def readiness(self) -> tuple[int, Mapping[str, Any]]:
        """Status code and body of `/readyz`."""
        answer = self.http.get(f"{self.address}/readyz")
        return answer.status_code, answer.json()

    def eventually(self, condition: Callable[[], object], what: str, *, patience_s: float = _PATIENCE_S) -> None:
        """Return when the condition holds; fail when it does not in time, or when the daemon ends before."""
        eventually(condition, what, while_true=self.thread.is_alive, patience_s=patience_s)


def patience_for(events: int) -> float:
    """Seconds that so many events may take on a busy machine, at two a second."""
    return max(_PATIENCE_S, events / 2)


def eventually(
    condition: Callable[[], object],
    what: str,
    *,
    while_true: Callable[[], bool] = lambda: True,
    patience_s: float = _PATIENCE_S,
) -> None:
    """Return when the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + patience_s
    turn = threading.Event()
    while not condition():
        assert while_true(), f"the daemon ended before: {what}"
        assert time.monotonic() < deadline, f"not in {patience_s:g} s: {what}"
        turn.wait(0.05)


class _StandardError:
    """Standard error as it is at each line: pytest takes it away and gives it back."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _log() -> Any:
    """Where a daemon's process logs: standard output is for the answers of commands, which tests read.

    With processors of its own: what another test set for the whole process does not fit this logger.
    """
    return structlog.wrap_logger(
        structlog.PrintLogger(cast("TextIO", _StandardError())),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


@contextmanager
def running(config: Config, clock: Clock | None = None, *, log: Any = None) -> Iterator[RunningDaemon]:
    """Run the daemon until the block ends; an error of the daemon is the block's.

    The clock is the machine's own, and the log standard error, where none is given.
    """
    with undone_afterwards():
        yield from _running(config, clock or SystemClock(), log or _log())


def _running(config: Config, clock: Clock, log: Any) -> Iterator[RunningDaemon]:
    stop = threading.Event()
    addresses: list[str] = []
    started = threading.Event()
    errors: list[BaseException] = []

    def on_start(address: str) -> None:
        addresses.append(address)
        started.set()

    def run() -> None:
        try:
            Daemon(config, log, stop, clock).run(on_start)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            errors.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="daemon")
    thread.start()
    started.wait()
    try:
        if not errors:
            with httpx.Client(timeout=60) as http:
                yield RunningDaemon(address=addresses[0], thread=thread, http=http)
    finally:
        stop.set()
        thread.join(timeout=_PATIENCE_S)
        if errors:
            raise errors[0]
    assert not thread.is_alive(), "the daemon did not stop"
