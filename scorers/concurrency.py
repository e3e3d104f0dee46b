"""How many calls an endpoint takes at once, found out from its answers: additive increase, multiplicative decrease."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class AdaptiveLimit:
    """The number of calls that may be under way. Pure state, not safe for threads by itself.

    It grows by one once as many calls have succeeded as it allows, up to `most`, and halves where the endpoint says
    that it is overloaded: once a round trip, so that a burst of refusals of one and the same moment halves it once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = most
        self._succeeded = 0
        self._halved_s = float("-inf")

    @property
    def allowed(self) -> int:
        """Calls that may be under way now: 1 to `most`."""
        return self._allowed

    def succeeded(self) -> None:
        """A call was answered."""
        self._succeeded += 1
        if self._succeeded >= self._allowed and self._allowed < self._most:
            self._allowed += 1
            self._succeeded = 0

    def overloaded(self, started_s: float, now_s: float) -> None:
        """A call that began at `started_s` was refused for load."""
        self._succeeded = 0
        if started_s >= self._halved_s:
            self._allowed = max(1, self._allowed // 2)
            self._halved_s = now_s


@dataclass(slots=True)
class Slot:
    """A place among the calls under way. `waited_s` is how long it took to get."""

    started_s: float
    waited_s: float


class Slots:
    """Places for calls, as many as the limit allows now. Threads may share it."""

    def __init__(self, limit: AdaptiveLimit, clock: Callable[[], float]) -> None:
        self.limit = limit
        self._clock = clock
        self._free = threading.Condition()
        self._taken = 0

    @property
    def taken(self) -> int:
        """Calls under way."""
        return self._taken

    @contextmanager
    def place(self) -> Iterator[Slot]:
        """Wait for a place, hold it for the block, and give it back."""
        asked_s = self._clock()
        with self._free:
            self._free.wait_for(lambda: self._taken < self.limit.allowed)
            self._taken += 1
        started_s = self._clock()
        try:
            yield Slot(started_s=started_s, waited_s=started_s - asked_s)
        finally:
            with self._free:
                self._taken -= 1
                # More than one: the limit may have grown meanwhile.
                self._free.notify_all()
