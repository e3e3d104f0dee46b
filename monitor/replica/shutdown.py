"""How a person or an orchestrator ends the process: the first signal drains, the second ends at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

_ENDED_BY_SIGNAL = 128


def exit_within(seconds: float, code: int) -> None:
    """End the process with `code` after `seconds` unless it has ended by then.

    A judge call that never returns must not keep alive a process that has committed its work and left its group.
    """
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


@contextmanager
def stop_on_signals(*signals: signal.Signals) -> Iterator[threading.Event]:
    """Yield an event that the first of the signals sets; the second ends the process at once.

    Ending at once loses nothing: the ledger's transactions are whole or absent, and what was not committed comes again.
    """
    stop, told = threading.Event(), False
    # The handler runs in the main thread, which may just hold the event's lock: another thread sets the event, and what
    # wakes that one is made to be called from signal handlers.
    wake: SimpleQueue[None] = SimpleQueue()

    def set_when_woken() -> None:
        wake.get()
        stop.set()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal told
        if told:
            os._exit(_ENDED_BY_SIGNAL + number)
        told = True
        wake.put(None)

    threading.Thread(target=set_when_woken, name="signals", daemon=True).start()
    previous = {number: signal.signal(number, on_signal) for number in signals}
    try:
        yield stop
    finally:
        wake.put(None)
        for number, action in previous.items():
            signal.signal(number, action)
