"""Dataset membership, from which the lease holder reconciles MLflow's dataset."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal_column, select, update

from monitor.ledger.database import Database, insert_once, values_of
from monitor.ledger.lease import guard
from monitor.ledger.rows import LeaseToken, MemberRow, MemberState
from monitor.ledger.schema import members

_OWN = {"expectation_sources", "reconciled_revision"}
_COLUMNS = [column for column in members.c if column.name not in _OWN]


@dataclass(frozen=True, slots=True)
class Members:
    """Rows of datasets, one for each distinct inputs."""

    database: Database

    def offer(self, member: MemberRow, expected_at_ms: int | None = None) -> bool:
        """Add a row, or add to the one that its inputs have already; True if this trace owns the record.

        Expectations merge by key, the one of the latest trace standing, in whatever order traces come or come again.
        A golden trace makes the record golden, and brings it back if it was evicted. `expected_at_ms` is the time of
        expectations that came later than the trace.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        source = [member.event_time_ms if expected_at_ms is None else expected_at_ms, member.trace_id]
        values = values_of(member) | {
            "state": "active",
            "record_id": None,
            "revision": 1,
            "expectation_sources": dict.fromkeys(member.expectations, source),
        }
        with self.database.write() as connection:
            if insert_once(connection, members, values):
                return True
            return _merge(connection, member, source)

    def active(self, dataset: str) -> list[MemberRow]:
        """The rows that belong to the dataset, by digest.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(*_COLUMNS)
                .where(members.c.dataset == dataset, members.c.state == literal_column("'active'"))
                .order_by(members.c.inputs_digest)
            )
            return [MemberRow(**row) for row in found.mappings()]

    def find(self, dataset: str, inputs_digest: str) -> MemberRow | None:
        """The row that these inputs have in the dataset, active or evicted; None where no trace was offered.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(*_COLUMNS).where(members.c.dataset == dataset, members.c.inputs_digest == inputs_digest)
            )
            row = found.mappings().first()
        return None if row is None else MemberRow(**row)

    def set_state(
        self, dataset: str, digests: Collection[str], state: MemberState, token: LeaseToken | None = None
    ) -> None:
        """Evict rows or bring them back; a golden row is never evicted.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        row = members.c
        wanted = [row.dataset == dataset, row.inputs_digest.in_(sorted(digests)), row.state != state]
        if state == "evicted":
            wanted.append(~row.golden)
        with self.database.write() as connection:
            guard(connection, token)
            connection.execute(update(members).where(*wanted).values(state=state, revision=row.revision + 1))

    def unreconciled(self, dataset: str, limit: int) -> list[MemberRow]:
        """Rows that MLflow's dataset may not show as they are, the oldest first.

        Active ones are to be merged, evicted ones deleted. An evicted row without a record id may yet have a record
        there, if a reconciliation was cut off between MLflow and the ledger: look for it by its inputs.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = members.c
        with self.database.read() as connection:
            found = connection.execute(
                select(*_COLUMNS)
                .where(row.dataset == dataset, row.revision != row.reconciled_revision)
                .order_by(row.event_time_ms, row.inputs_digest)
                .limit(limit)
            )
            return [MemberRow(**each) for each in found.mappings()]

    def mark_reconciled(
        self,
        dataset: str,
        record_ids: Mapping[str, str | None],
        seen: Iterable[MemberRow],
        token: LeaseToken | None = None,
    ) -> None:
        """Note what MLflow holds now: inputs digest -> record id, None for one that was deleted.

        `seen` are the rows that were reconciled, as `unreconciled` gave them: one that has changed since stays due.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        revisions = {row.inputs_digest: row.revision for row in seen if row.dataset == dataset}
        with self.database.write() as connection:
            guard(connection, token)
            for digest in sorted(record_ids):
                connection.execute(
                    update(members)
                    .where(members.c.dataset == dataset, members.c.inputs_digest == digest)
                    .values(record_id=record_ids[digest], reconciled_revision=revisions[digest])
                )

    def newest_ms(self, dataset: str) -> int | None:
        """When the newest trace of the dataset's active rows came, None without rows.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = members.c
        with self.database.read() as connection:
            return connection.execute(
                select(func.max(row.event_time_ms)).where(
                    row.dataset == dataset, row.state == literal_column("'active'")
                )
            ).scalar()

    def count(self, dataset: str) -> int:
        """How many rows belong to the dataset.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            return connection.execute(
                select(func.count()).where(members.c.dataset == dataset, members.c.state == literal_column("'active'"))
            ).scalar_one()


def _merge(connection: Connection, member: MemberRow, source: list[Any]) -> bool:
    row = members.c
    this: list[ColumnElement[bool]] = [row.dataset == member.dataset, row.inputs_digest == member.inputs_digest]
    found = connection.execute(
        select(row.trace_id, row.golden, row.state, row.revision, row.expectations, row.expectation_sources)
        .where(*this)
        .with_for_update()
    ).one()
    expectations, sources = _merged(member, source, found.expectations, found.expectation_sources)
    golden = found.golden or member.golden
    state = "active" if golden else found.state
    changed = (expectations, golden, state) != (found.expectations, found.golden, found.state)
    if changed or sources != found.expectation_sources:
        connection.execute(
            update(members)
            .where(*this)
            .values(
                expectations=expectations,
                expectation_sources=sources,
                golden=golden,
                state=state,
                # Nobody has to delete an evicted record anew because its expectations changed.
                revision=found.revision + (changed and state == "active"),
            )
        )
    return bool(found.trace_id == member.trace_id)


def _merged(
    member: MemberRow, source: list[Any], expectations: Mapping[str, Any], sources: Mapping[str, list[Any]]
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    merged, merged_sources = dict(expectations), dict(sources)
    for key, value in member.expectations.items():
        if key not in merged_sources or merged_sources[key] < source:
            merged[key], merged_sources[key] = value, source
    return merged, merged_sources
