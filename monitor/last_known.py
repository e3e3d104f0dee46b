"""The last word of something that is slow to ask or may be away, with its age."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from monitor.clock import Clock
from monitor.errors import ServiceUnavailable

T = TypeVar("T")

EVERY_S: Final = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Known(Generic[T]):
    """A value and the seconds since it was read."""

    value: T
    age_s: float


class LastKnown(Generic[T]):
    """Gives what `read` last gave. Safe to use from any thread.

    `read` is called at most every 15 seconds, however often it is asked, and never twice at once. While it raises
    `ServiceUnavailable` the value just grows old.
    """

    def __init__(self, read: Callable[[], T], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._last: tuple[T, float] | None = None
        self._asked_at_s: float | None = None

    def get(self) -> Known[T] | None:
        """The value, read again if it is time; None where nothing was ever read."""
        # Who finds a slow read under way gets the last value, and is not made to wait behind it.
        if self._lock.acquire(blocking=self._last is None):
            try:
                self._refresh()
            finally:
                self._lock.release()
        if self._last is None:
            return None
        value, read_at_s = self._last
        return Known(value=value, age_s=self._clock.monotonic_s() - read_at_s)

    def _refresh(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._asked_at_s is not None and now_s - self._asked_at_s < EVERY_S:
            return
        try:
            value = self._read()
        except ServiceUnavailable:
            # What is away says so elsewhere: its own health check tells why.
            return
        finally:
            self._asked_at_s = self._clock.monotonic_s()
        self._last = (value, now_s)
