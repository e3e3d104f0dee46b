"""What receivers are told of alerts: what is owed, what was accepted, and how a receiver is doing."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, tuple_, update

from monitor.ledger.database import Database, insert, values_of
from monitor.ledger.lease import guard
from monitor.ledger.rows import AlertRow, DeliveryRow, LeaseToken, ReceiverState
from monitor.ledger.schema import alerts, deliveries

FAILING_AFTER_MS: Final = 120_000
"""What was not accepted within two minutes, even if nobody tried, is a failing receiver."""
FAILING_ATTEMPTS: Final = 3

_KEY = ("alert_id", "receiver", "transition")


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Rows by alert, receiver and transition. Only the lease holder writes."""

    database: Database

    def untold(self) -> list[tuple[AlertRow, list[DeliveryRow]]]:
        """The alerts of which somebody may have to be told, the oldest first, each with what is owed or was told of it.

        They are those that fire, and those that are over where somebody was told that they fire and not that they end.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        told = deliveries.c
        end = deliveries.alias()
        ended = exists().where(
            end.c.alert_id == told.alert_id, end.c.receiver == told.receiver, end.c.transition == "resolved"
        )
        unended = select(told.alert_id).where(told.transition == "fired", ~ended)
        wanted = or_(alerts.c.state == "firing", and_(alerts.c.state == "resolved", alerts.c.id.in_(unended)))
        with self.database.read() as connection:
            found = [
                AlertRow(**row)
                for row in connection.execute(
                    select(alerts).where(wanted).order_by(alerts.c.fired_ms, alerts.c.id)
                ).mappings()
            ]
            rows = defaultdict(list)
            for row in connection.execute(
                select(deliveries).where(told.alert_id.in_(select(alerts.c.id).where(wanted)))
            ).mappings():
                rows[row["alert_id"]].append(DeliveryRow(**row))
        return [(alert, rows[alert.id]) for alert in found]

    def owe(self, rows: Sequence[DeliveryRow], token: LeaseToken | None) -> None:
        """Note what receivers are to be told; a row that is there already stays as it is.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token no longer holds; nothing is changed.
        """
        with self.database.write() as connection:
            guard(connection, token)
            for row in rows:
                statement = insert(connection, deliveries).values(values_of(row))
                connection.execute(statement.on_conflict_do_nothing(index_elements=_KEY))

    def cancel(self, rows: Sequence[DeliveryRow], token: LeaseToken | None) -> None:
        """Owe no longer what was never accepted.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token no longer holds; nothing is changed.
        """
        keys = [(row.alert_id, row.receiver, row.transition) for row in rows]
        columns = [deliveries.c[name] for name in _KEY]
        with self.database.write() as connection:
            guard(connection, token)
            connection.execute(
                delete(deliveries).where(tuple_(*columns).in_(keys), deliveries.c.delivered_ms.is_(None))
            )

    def due(
        self, receiver: str, now_ms: int, limit: int, *, repeats: bool = False
    ) -> list[tuple[DeliveryRow, AlertRow]]:
        """What a receiver is to be told now, the oldest first: never that an alert ends before that it fired.

        With `repeats` also what it has accepted of alerts that still fire.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = deliveries.c
        first = deliveries.alias()
        fired = exists().where(
            first.c.alert_id == row.alert_id,
            first.c.receiver == row.receiver,
            first.c.transition == "fired",
            first.c.delivered_ms.is_not(None),
        )
        wanted: ColumnElement[bool] = and_(row.delivered_ms.is_(None), or_(row.transition == "fired", fired))
        if repeats:
            again = and_(row.delivered_ms.is_not(None), row.transition == "fired", alerts.c.state == "firing")
            wanted = or_(wanted, again)
        statement = (
            select(deliveries, alerts)
            .join(alerts, alerts.c.id == row.alert_id)
            .where(row.receiver == receiver, row.next_attempt_ms <= now_ms, wanted)
            .order_by(row.created_ms, row.alert_id, row.transition)
            .limit(limit)
        )
        with self.database.read() as connection:
            found = connection.execute(statement).mappings().all()
        return [
            (
                DeliveryRow(**{column.name: each[column] for column in deliveries.columns}),
                AlertRow(**{column.name: each[column] for column in alerts.columns}),
            )
            for each in found
        ]

    def begin(self, row: DeliveryRow, next_attempt_ms: int, token: LeaseToken | None) -> bool:
        """Note an attempt before it is made: if this process dies in it, the next one is not made before its time.

        False if somebody else has meanwhile begun one.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token no longer holds; nothing is changed.
        """
        with self.database.write() as connection:
            guard(connection, token)
            begun = connection.execute(
                update(deliveries)
                .where(_is(row), deliveries.c.attempts == row.attempts)
                .where(deliveries.c.next_attempt_ms == row.next_attempt_ms)
                .values(attempts=row.attempts + 1, next_attempt_ms=next_attempt_ms)
            )
            return begun.rowcount == 1

    def delivered(
        self, row: DeliveryRow, severity: str, now_ms: int, next_attempt_ms: int, token: LeaseToken | None
    ) -> None:
        """Note that the receiver has accepted it; what it had to wait for after failures is due at once.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token no longer holds; nothing is changed.
        """
        column = deliveries.c
        with self.database.write() as connection:
            guard(connection, token)
            connection.execute(
                update(deliveries)
                .where(_is(row))
                .values(
                    severity=severity,
                    attempts=0,
                    last_error=None,
                    next_attempt_ms=next_attempt_ms,
                    delivered_ms=func.coalesce(column.delivered_ms, now_ms),
                )
            )
            if row.attempts:
                connection.execute(
                    update(deliveries)
                    .where(column.receiver == row.receiver, column.delivered_ms.is_(None))
                    .where(column.next_attempt_ms > now_ms)
                    .values(next_attempt_ms=now_ms)
                )

    def failed(
        self, row: DeliveryRow, error: str, next_attempt_ms: int, token: LeaseToken | None, *, for_all: bool
    ) -> None:
        """Note that it was not accepted, and why. `for_all`: no message to this receiver is sent before that time.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token no longer holds; nothing is changed.
        """
        column = deliveries.c
        with self.database.write() as connection:
            guard(connection, token)
            connection.execute(
                update(deliveries).where(_is(row)).values(last_error=error, next_attempt_ms=next_attempt_ms)
            )
            if for_all:
                firing = select(alerts.c.id).where(alerts.c.state == "firing")
                connection.execute(
                    update(deliveries)
                    .where(column.receiver == row.receiver, column.next_attempt_ms < next_attempt_ms)
                    .where(or_(column.delivered_ms.is_(None), column.alert_id.in_(firing)))
                    .values(next_attempt_ms=next_attempt_ms)
                )

    def states(self, receivers: Collection[str], now_ms: int) -> Mapping[str, ReceiverState]:
        """How each receiver is doing. One that nothing was to be told of is well.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = deliveries.c
        statement = (
            select(deliveries)
            .join(alerts, alerts.c.id == row.alert_id)
            .where(row.receiver.in_(receivers), or_(row.delivered_ms.is_(None), alerts.c.state == "firing"))
            .order_by(row.created_ms)
        )
        with self.database.read() as connection:
            rows = [DeliveryRow(**each) for each in connection.execute(statement).mappings()]
        return {name: _state([row for row in rows if row.receiver == name], now_ms) for name in receivers}


def _state(rows: Sequence[DeliveryRow], now_ms: int) -> ReceiverState:
    owed = [row for row in rows if row.delivered_ms is None]
    late = any(now_ms - row.created_ms > FAILING_AFTER_MS for row in owed)
    return ReceiverState(
        owed=len(owed),
        failing=late or any(row.attempts >= FAILING_ATTEMPTS for row in rows),
        last_error=next((row.last_error for row in rows if row.last_error is not None), None),
    )


def _is(row: DeliveryRow) -> ColumnElement[bool]:
    return and_(*(deliveries.c[name] == getattr(row, name) for name in _KEY))
