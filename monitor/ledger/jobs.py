"""When scheduled jobs last succeeded and failed."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from monitor.ledger.database import Database, insert
from monitor.ledger.lease import guard
from monitor.ledger.rows import JobRow, LeaseToken
from monitor.ledger.schema import jobs


@dataclass(frozen=True, slots=True)
class Jobs:
    """One row a job. A report that comes late never hides a newer one."""

    database: Database

    def succeeded(self, job: str, at_ms: int, token: LeaseToken | None = None) -> None:
        """Note a success.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        self._note({"job": job, "last_success_ms": at_ms}, newest="last_success_ms", token=token)

    def failed(self, job: str, at_ms: int, error: str, token: LeaseToken | None = None) -> None:
        """Note a failure and its cause.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        self._note({"job": job, "last_failure_ms": at_ms, "last_error": error}, newest="last_failure_ms", token=token)

    def all(self) -> list[JobRow]:
        """Every job that ever reported, by name.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(select(jobs).order_by(jobs.c.job))
            return [JobRow(**row) for row in found.mappings()]

    def _note(self, values: dict[str, Any], newest: str, token: LeaseToken | None) -> None:
        with self.database.write() as connection:
            guard(connection, token)
            statement = insert(connection, jobs).values(values)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["job"],
                    set_={name: statement.excluded[name] for name in values if name != "job"},
                    where=func.coalesce(jobs.c[newest], statement.excluded[newest]) <= statement.excluded[newest],
                )
            )
