"""A dataset store in memory: for tests, the demo and backtests."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from dataclasses import replace

from monitor.dataset.records import Member, Row, inputs_digest


class MemoryDatasetStore:
    """Rows in a dictionary by inputs digest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 1
        self._rows: dict[str, Row] = {}

    def ensure(self) -> None:
        """Return: the dataset is there."""

    def merge(self, members: Sequence[Member]) -> dict[str, str]:
        """Add rows, or bring those with the same inputs up to date; returns inputs digest -> record id."""
        with self._lock:
            return {member.inputs_digest: self._merge(member) for member in members}

    def find(self, digests: Collection[str]) -> dict[str, str]:
        """Inputs digest -> record id of those that are there."""
        with self._lock:
            return {digest: self._rows[digest].record_id for digest in digests if digest in self._rows}

    def delete(self, record_ids: Collection[str]) -> None:
        """Delete records."""
        with self._lock:
            self._rows = {digest: row for digest, row in self._rows.items() if row.record_id not in record_ids}

    def rows(self) -> list[Row]:
        """All records, sorted by inputs digest."""
        with self._lock:
            return [self._rows[digest] for digest in sorted(self._rows)]

    def _merge(self, member: Member) -> str:
        digest = inputs_digest(member.inputs)
        row = self._rows.get(digest)
        if row is None:
            row = Row(
                record_id=f"dr-{self._next}", inputs=member.inputs, expectations={}, trace_id=member.trace_id, tags={}
            )
            self._next += 1
        self._rows[digest] = replace(
            row,
            expectations={**row.expectations, **member.expectations},
            tags={**row.tags, **member.tags},
        )
        return row.record_id
