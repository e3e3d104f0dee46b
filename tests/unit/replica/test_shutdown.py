"""Signals: the first drains, the second ends at once; seen on a real process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.replica.shutdown import stop_on_signals

ROOT = Path(__file__).parents[3]
PATIENCE_S = 30
DRAINS = """
import signal, sys
from monitor.replica.shutdown import stop_on_signals
with stop_on_signals(signal.SIGTERM, signal.SIGINT) as stop:
    print("running", flush=True)
    if sys.argv[1] == "is caught in the lock":
        with stop._cond:
            signal.raise_signal(signal.SIGTERM)
    stop.wait()
    print("draining", flush=True)
    if sys.argv[1] == "hangs":
        signal.pause()
        signal.pause()
print("done", flush=True)
"""


@contextmanager
def process(how: str) -> Iterator[subprocess.Popen[str]]:
    """A process that drains, or hangs while it drains; it never outlives the test."""
    started = subprocess.Popen([sys.executable, "-c", DRAINS, how], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with started:
        try:
            yield started
        finally:
            started.kill()


def line(of: subprocess.Popen[str]) -> str:
    """The next line that the process prints."""
    assert of.stdout is not None
    return of.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_drains_and_the_process_exits_0(number: signal.Signals) -> None:
    """Whoever asks, what is under way ends in order."""
    with process("drains") as running:
        assert line(running) == "running"
        running.send_signal(number)
        assert line(running) == "draining"
        assert line(running) == "done"
        assert running.wait(PATIENCE_S) == 0


def test_the_second_signal_ends_at_once() -> None:
    """A drain that hangs can be ended by hand, with the exit code of the signal."""
    with process("hangs") as running:
        assert line(running) == "running"
        running.send_signal(signal.SIGTERM)
        assert line(running) == "draining"
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE_S) == 128 + signal.SIGINT


def test_a_signal_that_finds_the_main_thread_in_the_events_own_lock_is_heard() -> None:
    """Signal handlers run in the main thread, wherever it is: setting the event there would wait for itself."""
    with process("is caught in the lock") as running:
        assert line(running) == "running"
        assert line(running) == "draining"
        assert line(running) == "done"
        assert running.wait(PATIENCE_S) == 0


def test_the_old_actions_come_back() -> None:
    """After the context the signals do what they did before, also when the body raises."""
    before = signal.getsignal(signal.SIGUSR1)

    def fails() -> None:
        with stop_on_signals(signal.SIGUSR1):
            assert signal.getsignal(signal.SIGUSR1) is not before
            raise ValueError("body")

    with pytest.raises(ValueError, match="body"):
        fails()
    assert signal.getsignal(signal.SIGUSR1) is before
