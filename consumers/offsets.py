"""How far a partition is done, when work finishes in any order."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance(Generic[T]):
    """The watermark moved: all from `from_offset` up to, not including, `to_offset` is finished."""

    from_offset: int
    to_offset: int
    outcomes: Counter[T]
    """How many of the messages between had which outcome; offsets may have gaps, so their sum is what was received."""


class OffsetTracker(Generic[T]):
    """The watermark of one partition: the offset below which everything that was begun is finished.

    Pure state. Offsets may have gaps (compaction, transactions): a gap counts as done once what lies around it is.

    What is finished behind something open is only counted, one tally for each stretch between two open offsets. So the
    memory grows with what is open and with how many different outcomes there are, and not with what waits.
    """

    def __init__(self) -> None:
        self._watermark: int | None = None
        self._next = 0
        self._open: list[int] = []  # sorted, because messages are begun in the order of their offsets
        self._behind: dict[int, Counter[T]] = {}  # open offset -> what is finished between it and the next open one
        self._ready: Counter[T] = Counter()
        self._waiting = 0

    def start(self, next_offset: int) -> None:
        """Own the partition from `next_offset` on; forgets everything from before."""
        self._watermark = self._next = next_offset
        self._open.clear()
        self._behind.clear()
        self._ready = Counter()
        self._waiting = 0

    @property
    def watermark(self) -> int:
        """Everything below it is finished and was handed out by `advance`.

        Raises:
            ValueError: before `start`.
        """
        if self._watermark is None:
            raise ValueError("the partition has not been started")
        return self._watermark

    @property
    def in_flight(self) -> int:
        """How many were begun and are not finished."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """How many were begun and are not yet behind the watermark."""
        return self._waiting

    def begin(self, offset: int) -> bool:
        """Take up the message at `offset`; False when it was taken up before and must not be done again.

        Raises:
            ValueError: before `start`.
        """
        if offset < self.watermark or offset < self._next:
            return False
        self._next = offset + 1
        self._open.append(offset)
        self._waiting += 1
        return True

    def finish(self, offset: int, outcome: T) -> None:
        """The work for `offset` is done.

        Raises:
            ValueError: the offset is not in flight.
        """
        at = bisect_left(self._open, offset)
        if at == len(self._open) or self._open[at] != offset:
            raise ValueError(f"offset {offset} is not in flight")
        before = self._behind.setdefault(self._open[at - 1], Counter()) if at else self._ready
        before[outcome] += 1
        if (after := self._behind.pop(offset, None)) is not None:
            before.update(after)
        del self._open[at]

    def advance(self) -> Advance[T] | None:
        """Move the watermark over all that is finished without a hole; None when it stays where it is."""
        start, target = self.watermark, self._open[0] if self._open else self._next
        if target == start:
            return None
        outcomes, self._ready = self._ready, Counter()
        self._waiting -= outcomes.total()
        self._watermark = target
        return Advance(from_offset=start, to_offset=target, outcomes=outcomes)
