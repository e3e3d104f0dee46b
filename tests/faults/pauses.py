"""Faults that last for a while."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hold(seconds: float) -> Iterator[None]:
    """A block that takes at least so long."""
    until_s = time.monotonic() + seconds
    yield
    threading.Event().wait(max(0.0, until_s - time.monotonic()))
