"""Threads for work that may hang: they end with the process, whatever they wait for."""

import queue
import threading
from collections.abc import Callable


class Workers:
    """A fixed number of threads that run what is submitted, in its order.

    They are daemon threads, which the standard library's pool no longer offers: a judge that never answers must not
    keep a process alive that has been told to stop. What is submitted must not raise.
    """

    def __init__(self, count: int, name: str) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` as soon as a thread is free."""
        self._work.put(work)

    def stop(self) -> None:
        """Begin nothing more; what is under way goes on and is not waited for."""
        self._stopped.set()
        for _ in self._threads:
            self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None and not self._stopped.is_set():
            work()
