"""What reconciliation and evaluation ask of a dataset store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from monitor.dataset.records import Member, Row


class DatasetStore(Protocol):
    """One named dataset. Every write is idempotent; rows that people have added stay.

    All methods raise DatasetStoreUnavailable when the store is away. Threads may share a store.
    """

    def ensure(self) -> None:
        """Create the dataset if it is missing."""
        ...

    def merge(self, members: Sequence[Member]) -> dict[str, str]:
        """Add rows, or bring those with the same inputs up to date; returns inputs digest -> record id of each.

        Expectations and tags merge by key, outputs are replaced, the source trace of the first merge stays.

        Raises:
            DatasetRejected: the store will never take one of them.
        """
        ...

    def find(self, digests: Collection[str]) -> dict[str, str]:
        """Inputs digest -> record id of those that the dataset has."""
        ...

    def delete(self, record_ids: Collection[str]) -> None:
        """Delete records; ids that are not there are no error."""
        ...

    def rows(self) -> list[Row]:
        """All records, sorted by inputs digest."""
        ...
