"""One judge endpoint as this process uses it: retries, a circuit breaker, and as many calls at once as it takes."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from scorers.circuit import Circuit, CircuitState
from scorers.concurrency import AdaptiveLimit, Slot, Slots
from scorers.errors import JudgeUnavailable
from scorers.settings import JudgeSettings

T = TypeVar("T")

_LOAD = frozenset({429, 503, 529})
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 1.0, 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointState:
    """What is known of an endpoint now. `allowed` calls may be under way at once, `in_flight` are."""

    endpoint: str
    circuit: CircuitState
    opened_for_s: float
    allowed: int
    in_flight: int


@dataclass(slots=True)
class CallRecord:
    """What one logical call took: attempts that were sent, and seconds spent waiting for a free place.

    `unmetered` attempts failed and may be billed all the same.
    """

    calls: int = 0
    unmetered: int = 0
    waited_s: float = 0.0


class JudgeEndpoint:
    """Calls to one address. Threads may share it.

    Args:
        address: shown in errors.
        settings: the bounds.
        stopping: once it is set nothing is tried again and no wait is begun.
        clock: monotonic seconds.
        draw: uniform numbers in 0..1, for jitter.
    """

    def __init__(
        self,
        address: str,
        settings: JudgeSettings,
        stopping: threading.Event,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._settings = settings
        self._stopping = stopping
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()
        self._circuit = Circuit(settings.circuit, draw)
        self._limit = AdaptiveLimit(settings.concurrency)
        self._slots = Slots(self._limit, clock)

    @property
    def state(self) -> EndpointState:
        """What is known of it now."""
        with self._lock:
            return EndpointState(
                endpoint=self._address,
                circuit=self._circuit.state,
                opened_for_s=self._circuit.open_for_s(self._clock()),
                allowed=self._limit.allowed,
                in_flight=self._slots.taken,
            )

    def call(self, attempt: Callable[[], T], record: CallRecord) -> T:
        """The result of `attempt`, tried again after outages: at most `1 + settings.retries` times.

        An attempt raises JudgeUnavailable where the endpoint gave no answer; whatever else it raises is an answer.

        Raises:
            JudgeUnavailable: the last outage, with the number of attempts made; or the circuit is open.
        """
        for number in range(1 + self._settings.retries):
            try:
                return self._once(attempt, record)
            except JudgeUnavailable as outage:
                record.unmetered += outage.unmetered
                outage.calls, outage.unmetered = record.calls, record.unmetered
                wait_s = self._backoff_s(number, outage)
                if number == self._settings.retries or wait_s is None or self._stopping.wait(wait_s):
                    raise
        raise AssertionError("the loop returns or raises")

    def _once(self, attempt: Callable[[], T], record: CallRecord) -> T:
        with self._slots.place() as slot:
            record.waited_s += slot.waited_s
            # Only now: the circuit may have opened while this call waited for its place.
            self._pass_circuit()
            record.calls += 1
            try:
                result = attempt()
            except JudgeUnavailable as outage:
                self._note_outage(outage, slot)
                raise
            except BaseException:
                self.note_answer()
                raise
            self.note_answer()
            return result

    def _pass_circuit(self) -> None:
        with self._lock:
            wait_s = self._circuit.ask(self._clock())
        if wait_s is not None:
            words = "it failed for every call and is left alone for a while"
            raise JudgeUnavailable(words, endpoint=self._address, kind="circuit_open", retry_after_s=wait_s)

    def note_answer(self) -> None:
        """The endpoint has answered a call, this one's or another's."""
        with self._lock:
            self._circuit.answered()
            self._limit.succeeded()

    def _note_outage(self, outage: JudgeUnavailable, slot: Slot) -> None:
        with self._lock:
            now_s = self._clock()
            if outage.status in _LOAD or outage.timed_out:
                self._limit.overloaded(slot.started_s, now_s)
            if outage.kind == "overloaded":
                # It is there: fewer calls at once are the answer to that, and not none.
                self._circuit.answered()
            else:
                self._circuit.failed(now_s, outage.retry_after_s)

    def _backoff_s(self, number: int, outage: JudgeUnavailable) -> float | None:
        """How long to wait before the next attempt: full jitter, and what the endpoint asks for; None: too long."""
        if outage.kind in {"circuit_open", "refused"}:
            return None
        asked_s = outage.retry_after_s or 0.0
        if asked_s > self._settings.longest_retry_after.total_seconds():
            return None
        return asked_s + self._draw() * min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0**number)
