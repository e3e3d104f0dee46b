"""The replicas that run: each gives a sign of life, by which a migration knows whom it would break."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from monitor.ledger.database import Database, insert, values_of
from monitor.ledger.errors import LedgerTooNew
from monitor.ledger.rows import ReplicaRow
from monitor.ledger.schema import compatibility, replicas


@dataclass(frozen=True, slots=True)
class Replicas:
    """One row a replica. `revision` is the newest that this process's code knows."""

    database: Database
    revision: str

    def beat(self, holder: str, version: str, now_ms: int) -> None:
        """Say that this replica runs, and make sure that it still may.

        Raises:
            LedgerTooNew: the schema has meanwhile been brought further than this code can work with.
            LedgerUnavailable: the database does not answer.
        """
        row = ReplicaRow(holder=holder, version=version, revision=self.revision, started_ms=now_ms, seen_ms=now_ms)
        with self.database.write() as connection:
            # Shared, so that a migration under way is waited for and the next one sees this replica.
            works_from = connection.execute(select(compatibility.c.works_from).with_for_update(read=True)).scalar_one()
            if self.revision < works_from:
                raise LedgerTooNew(
                    f"the ledger was migrated and now works with revision {works_from} and newer; this is Tracewatch "
                    f"{version} with revision {self.revision}: run a newer version"
                )
            statement = insert(connection, replicas).values(values_of(row))
            changed = {name: statement.excluded[name] for name in ("version", "revision", "seen_ms")}
            connection.execute(statement.on_conflict_do_update(index_elements=["holder"], set_=changed))

    def leave(self, holder: str) -> None:
        """Forget a replica that ends.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            connection.execute(delete(replicas).where(replicas.c.holder == holder))

    def seen_since(self, since_ms: int) -> list[ReplicaRow]:
        """Replicas that gave a sign of life since, by name.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            return seen_since(connection, since_ms)


def seen_since(connection: Connection, since_ms: int) -> list[ReplicaRow]:
    """Replicas that gave a sign of life since, by name."""
    found = connection.execute(select(replicas).where(replicas.c.seen_ms >= since_ms).order_by(replicas.c.holder))
    return [ReplicaRow(**row) for row in found.mappings()]
