"""The machine's clock, set ahead: days pass in seconds, and timers run as they always do."""

import threading
from datetime import timedelta

from monitor.clock import SystemClock


class ShiftedClock(SystemClock):
    """Tells people a later time; intervals are those of the machine. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead_ms = 0

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as far ahead as it was set."""
        with self._lock:
            return super().now_ms() + self._ahead_ms

    def advance(self, by: timedelta) -> None:
        """Let so much time have passed, at once."""
        with self._lock:
            self._ahead_ms += by // timedelta(milliseconds=1)
