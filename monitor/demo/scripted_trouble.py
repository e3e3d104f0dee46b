"""How the scripted endpoint misbehaves when a test tells it to: failures by kind, and a capacity."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import Literal

Failure = Literal[
    "401", "429", "500", "503", "retry_after", "garbage", "empty", "truncated", "huge", "hang", "hang_up", "echo"
]
"""`retry_after` is a 429 that asks for a second, `hang` never answers, `echo` a 401 that repeats the key."""

HUGE_BYTES = 11 * 1024 * 1024
_LONGEST_HANG_S = 300.0


class Trouble:
    """What goes wrong at the endpoint now. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._failure: tuple[Failure, int | None] | None = None
        self._over = Event()
        self._capacity: int | None = None
        self._at_once = 0
        self._turned_away = 0

    @property
    def turned_away(self) -> int:
        """How many requests came while the capacity was used up."""
        with self._lock:
            return self._turned_away

    def begin(self, failure: Failure, times: int | None) -> None:
        """Let the next `times` requests fail, all of them until `end` if None."""
        with self._lock:
            self._over.clear()
            self._failure = (failure, times)

    def end(self) -> None:
        """Let nothing fail; requests that hang go on."""
        with self._lock:
            self._failure = None
            self._over.set()

    def wait_for_its_end(self) -> None:
        """Hang, as an endpoint that has accepted a request and forgets it."""
        self._over.wait(_LONGEST_HANG_S)

    def next_failure(self) -> Failure | None:
        """The failure that the request at hand gets, if any; counts it off."""
        with self._lock:
            if self._failure is None:
                return None
            failure, times = self._failure
            if times is not None:
                self._failure = (failure, times - 1) if times > 1 else None
            return failure

    def limit(self, capacity: int | None) -> None:
        """Turn away what comes while so many requests are under way; nothing if None."""
        with self._lock:
            self._capacity = capacity

    @contextmanager
    def admitted(self) -> Iterator[bool]:
        """Whether the request of the block is within the capacity."""
        with self._lock:
            within = self._capacity is None or self._at_once < self._capacity
            self._at_once += within
            self._turned_away += not within
        try:
            yield within
        finally:
            with self._lock:
                self._at_once -= within
