"""When to stop asking an endpoint that fails for everybody, and how to find out that it is back. Pure: no clock."""

import random
from collections.abc import Callable
from typing import Literal

from scorers.settings import CircuitSettings

CircuitState = Literal["closed", "open", "half_open"]


class Circuit:
    """A circuit breaker for one endpoint. Not safe for threads by itself; times are seconds of one monotonic clock.

    closed: calls pass; `failures` outages in a row open it. open: no call passes until the pause is over. half_open:
    exactly one call passes as a probe; its answer closes the circuit, its failure opens it for longer.
    """

    def __init__(self, settings: CircuitSettings, draw: Callable[[], float] = random.random) -> None:
        self._settings = settings
        self._draw = draw
        self._failures = 0
        self._openings = 0
        self._opened_s: float | None = None
        self._until_s = 0.0
        self._probing = False

    @property
    def state(self) -> CircuitState:
        """Where it stands."""
        if self._opened_s is None:
            return "closed"
        return "half_open" if self._probing else "open"

    def open_for_s(self, now_s: float) -> float:
        """How long ago it opened for the first time since it was closed; 0 while it is closed."""
        return 0.0 if self._opened_s is None else now_s - self._opened_s

    def ask(self, now_s: float) -> float | None:
        """May a call be made now? None means yes, and its end must be reported; else the seconds to wait."""
        if self._opened_s is None:
            return None
        if self._probing:
            return self._settings.first_pause.total_seconds()
        if now_s < self._until_s:
            return self._until_s - now_s
        self._probing = True
        return None

    def answered(self) -> None:
        """The endpoint answered, be it with a refusal of this one request."""
        self._failures = self._openings = 0
        self._opened_s, self._probing = None, False

    def failed(self, now_s: float, retry_after_s: float | None = None) -> None:
        """The endpoint gave no answer. `retry_after_s` is how long it asked to be left alone."""
        self._failures += 1
        if self._opened_s is not None and not self._probing:
            return  # a call from before it opened; the pause has begun
        if self._probing or self._failures >= self._settings.failures:
            self._open(now_s, retry_after_s or 0.0)

    def abandoned(self) -> None:
        """A call that was let through was not made after all: let another one through."""
        self._probing = False

    def _open(self, now_s: float, at_least_s: float) -> None:
        first, longest = self._settings.first_pause.total_seconds(), self._settings.longest_pause.total_seconds()
        pause = min(longest, first * 2.0 ** min(self._openings, 30))
        # Half of it is drawn: replicas that lost the endpoint together do not come back together.
        self._until_s = now_s + max(at_least_s, pause * (0.5 + self._draw() / 2))
        self._opened_s = now_s if self._opened_s is None else self._opened_s
        self._openings += 1
        self._probing = False
