"""The alert table: which alerts wait, fire, and are over."""

from dataclasses import dataclass

from sqlalchemy import select

from monitor.ledger.database import Database, insert, values_of
from monitor.ledger.lease import guard
from monitor.ledger.rows import AlertRow, LeaseToken
from monitor.ledger.schema import alerts


@dataclass(frozen=True, slots=True)
class Alerts:
    """Alerts by id, as the lease holder publishes them."""

    database: Database

    def open_alerts(self) -> list[AlertRow]:
        """Those pending or firing, the oldest first.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(alerts).where(alerts.c.state.in_(("pending", "firing"))).order_by(alerts.c.since_ms, alerts.c.id)
            )
            return [AlertRow(**row) for row in found.mappings()]

    def save(self, alert: AlertRow, token: LeaseToken | None) -> None:
        """Write an alert as it is now. Only a command that runs without the daemon passes no token.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token no longer holds; nothing is changed.
        """
        values = values_of(alert)
        with self.database.write() as connection:
            guard(connection, token)
            statement = insert(connection, alerts).values(values)
            changed = {name: statement.excluded[name] for name in values if name != "id"}
            connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))

    def latest(self, kind: str, scorer: str, segment: str) -> AlertRow | None:
        """The newest alert about this, in whatever state; None where there never was one.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = alerts.c
        with self.database.read() as connection:
            found = connection.execute(
                select(alerts)
                .where(row.kind == kind, row.scorer == scorer, row.segment == segment)
                .order_by(row.since_ms.desc(), row.id.desc())
                .limit(1)
            )
            newest = found.mappings().first()
        return None if newest is None else AlertRow(**newest)

    def history(self, limit: int) -> list[AlertRow]:
        """Alerts of every state, the newest first.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(alerts).order_by(alerts.c.since_ms.desc(), alerts.c.id.desc()).limit(limit)
            )
            return [AlertRow(**row) for row in found.mappings()]
