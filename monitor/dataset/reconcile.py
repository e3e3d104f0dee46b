"""Bringing a dataset store in line with the rows of the ledger, in batches that may be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.dataset.records import Member
from monitor.dataset.selection import Selection, choose
from monitor.dataset.settings import DatasetSettings
from monitor.dataset.store import DatasetStore

BATCH_ROWS = 200


def decide(active: Sequence[Member], settings: DatasetSettings) -> Selection:
    """Which of the active rows stay and which are to be evicted, by the settings' bounds."""
    return choose(active, settings.max_rows, settings.quotas)


def reconcile(
    store: DatasetStore, unreconciled: Sequence[Member], batch_rows: int = BATCH_ROWS
) -> dict[str, str | None]:
    """Merge the active ones of the rows into the store and delete the evicted ones.

    Returns:
        Inputs digest -> record id, None for a record that is gone: what the ledger is to note of each row.

    Raises:
        DatasetStoreUnavailable: the store is away; the same call later completes the work.
        DatasetRejected: the store will never take one of the rows.
    """
    done: dict[str, str | None] = {}
    evicted = [member for member in unreconciled if member.state == "evicted"]
    # First out, then in: the store never holds more than it should.
    for batch in _batches(evicted, batch_rows):
        unknown = [member.inputs_digest for member in batch if member.record_id is None]
        known = {member.record_id for member in batch if member.record_id is not None}
        # A reconciliation that was cut off before the ledger learnt of it has left records without a known id.
        store.delete(known | set(store.find(unknown).values()))
        done.update(dict.fromkeys((member.inputs_digest for member in batch), None))
    for batch in _batches([member for member in unreconciled if member.state == "active"], batch_rows):
        done.update(store.merge(batch))
    return done


def _batches(members: Sequence[Member], size: int) -> Iterator[Sequence[Member]]:
    for start in range(0, len(members), size):
        yield members[start : start + size]
