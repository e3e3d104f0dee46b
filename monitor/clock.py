"""Time as a value that is passed in: a Protocol, the system's clock and one that is set by hand."""

import re
import threading
import time
from datetime import timedelta
from typing import Annotated, Any, Protocol

from pydantic import BeforeValidator

_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class Clock(Protocol):
    """What the time is, for people (since the epoch) and for intervals (monotonic)."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back; only differences mean anything."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since some start."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is set: for tests, backtests and the demo. Threads may share it."""

    def __init__(self, now_ms: int = 0) -> None:
        self._lock = threading.Lock()
        self._now_ms = now_ms
        self._monotonic_s = 0.0

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as set."""
        with self._lock:
            return self._now_ms

    def monotonic_s(self) -> float:
        """Seconds that `advance` has added since the start; `set` leaves them alone."""
        with self._lock:
            return self._monotonic_s

    def set(self, now_ms: int) -> None:
        """Set the time since the epoch, forwards or back, as an operator may."""
        with self._lock:
            self._now_ms = now_ms

    def advance(self, by: timedelta) -> None:
        """Let time pass.

        Raises:
            ValueError: `by` is negative.
        """
        if by < timedelta(0):
            raise ValueError(f"time does not pass backwards: {by}")
        with self._lock:
            self._now_ms += by // timedelta(milliseconds=1)
            self._monotonic_s += by.total_seconds()


def parse_duration(value: Any) -> Any:
    """Turn `500ms`, `30s`, `15m`, `24h` or `30d` into a timedelta; anything else is left to pydantic.

    Raises:
        ValueError: a text that is none of these forms, or too long a time.
    """
    if not isinstance(value, str):
        return value
    match = _TEXT.fullmatch(value.strip())
    if match is None:
        raise ValueError("a duration is a number with a unit of ms, s, m, h or d, such as 30s, 15m or 24h")
    try:
        return timedelta(milliseconds=float(match[1]) * _UNITS_MS[match[2]])
    except OverflowError as error:
        raise ValueError("a duration is at most 999999999d") from error


Duration = Annotated[timedelta, BeforeValidator(parse_duration, json_schema_input_type=str | float)]
"""A settings field that takes `500ms`, `30s`, `15m`, `24h`, `30d` (or seconds as a number) and holds a timedelta."""
