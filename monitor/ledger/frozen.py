"""Labelled traces that are judged again on a schedule, to see whether the judge itself has moved."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, func, select, update

from monitor.ledger.database import Database, insert_once, values_of
from monitor.ledger.label_rows import FrozenRow
from monitor.ledger.lease import guard
from monitor.ledger.rows import Label, LeaseToken
from monitor.ledger.schema import frozen_rows


@dataclass(frozen=True, slots=True)
class Frozen:
    """The frozen set of each scorer's version. Only the lease holder writes."""

    database: Database

    def freeze(self, rows: Iterable[FrozenRow], most: int, token: LeaseToken | None = None) -> int:
        """Add rows as long as their scorer's version has fewer than `most`; returns how many were new.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        added = 0
        with self.database.write() as connection:
            guard(connection, token)
            sizes = {
                (scorer, version): int(count)
                for scorer, version, count in connection.execute(
                    select(frozen_rows.c.scorer, frozen_rows.c.scorer_version, func.count()).group_by(
                        frozen_rows.c.scorer, frozen_rows.c.scorer_version
                    )
                )
            }
            for row in rows:
                of = (row.scorer, row.scorer_version)
                if sizes.get(of, 0) < most and insert_once(connection, frozen_rows, values_of(row)):
                    sizes[of] = sizes.get(of, 0) + 1
                    added += 1
        return added

    def all(self) -> list[FrozenRow]:
        """Every row, by scorer and version, in the order in which they were frozen.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = frozen_rows.c
        with self.database.read() as connection:
            found = connection.execute(
                select(frozen_rows).order_by(row.scorer, row.scorer_version, row.frozen_at_ms, row.trace_id)
            )
            return [FrozenRow(**each) for each in found.mappings()]

    def note_latest(self, row: FrozenRow, latest: Label, now_ms: int, token: LeaseToken | None = None) -> None:
        """Write what the judge says of a row now.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        with self.database.write() as connection:
            guard(connection, token)
            connection.execute(update(frozen_rows).where(*_is(row)).values(latest=latest, latest_at_ms=now_ms))

    def drop(self, rows: Collection[FrozenRow], token: LeaseToken | None = None) -> None:
        """Take rows out whose traces can be judged no more.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        with self.database.write() as connection:
            guard(connection, token)
            for row in rows:
                connection.execute(delete(frozen_rows).where(*_is(row)))


def _is(row: FrozenRow) -> tuple[ColumnElement[bool], ...]:
    column = frozen_rows.c
    return (
        column.scorer == row.scorer,
        column.scorer_version == row.scorer_version,
        column.trace_id == row.trace_id,
    )
