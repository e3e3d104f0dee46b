"""How much of each fault is tried: all of it for `make test-faults`, the telling part in CI."""

import os
from typing import Final, TypeVar

T = TypeVar("T")

FULL: Final = os.environ.get("TRACEWATCH_FAULTS") == "full"


def choose(*, short: T, full: T) -> T:
    """A size, a duration or a list, for this run."""
    return full if FULL else short
