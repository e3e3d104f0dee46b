"""How far a partition is done, when work finishes in any order."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Advance(Generic[T]):
    """The watermark moved: all from `from_offset` up to, not including, `to_offset` is finished."""

    from_offset: int
    to_offset: int
    outcomes: list[T]


class OffsetTracker(Generic[T]):
    """The watermark of one partition: the offset below which everything that was begun is finished.

    Pure state. Offsets may have gaps (compaction, transactions): a gap counts as done once what lies around it is.
    """

    def __init__(self) -> None:
        self._watermark: int | None = None
        self._next = 0
        self._open: set[int] = set()
        self._order: list[int] = []
        self._finished: dict[int, T] = {}

    def start(self, next_offset: int) -> None:
        """Own the partition from `next_offset` on; forgets everything from before."""
        self._watermark = self._next = next_offset
        self._open.clear()
        self._order.clear()
        self._finished.clear()

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
        return len(self._open) + len(self._finished)

    def begin(self, offset: int) -> bool:
        """Take up the message at `offset`; False when it was taken up before and must not be done again.

        Raises:
            ValueError: before `start`.
        """
        if offset < self.watermark or offset < self._next:
            return False
        self._next = offset + 1
        self._open.add(offset)
        heapq.heappush(self._order, offset)
        return True

    def finish(self, offset: int, outcome: T) -> None:
        """The work for `offset` is done. Ignored when `start` or `skip_to` has overtaken it.

        Raises:
            ValueError: the offset is neither in flight nor overtaken.
        """
        if offset in self._open:
            self._open.remove(offset)
            self._finished[offset] = outcome
        elif offset >= self.watermark:
            raise ValueError(f"offset {offset} is not in flight")

    def advance(self) -> Advance[T] | None:
        """Move the watermark over all that is finished without a hole; None when it stays where it is."""
        start, outcomes = self.watermark, []
        while self._order and self._order[0] in self._finished:
            outcomes.append(self._finished.pop(heapq.heappop(self._order)))
        target = self._order[0] if self._order else self._next
        if target == start:
            return None
        self._watermark = target
        return Advance(from_offset=start, to_offset=target, outcomes=outcomes)

    def skip_to(self, offset: int) -> None:
        """Somebody else has accounted for everything below `offset`: drop what lies there.

        Raises:
            ValueError: before `start`.
        """
        if offset <= self.watermark:
            return
        self._watermark, self._next = offset, max(self._next, offset)
        self._open = {each for each in self._open if each >= offset}
        self._finished = {each: outcome for each, outcome in self._finished.items() if each >= offset}
        self._order = sorted(self._open | self._finished.keys())
