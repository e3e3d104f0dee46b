"""What the group paid for models, by UTC day (ms // 86_400_000) and purpose, and whether a limit leaves room."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from monitor.ledger.database import Database, insert
from monitor.ledger.rows import SpendRow
from monitor.ledger.schema import mutexes, spend

SPEND_MUTEX = "judge_calls"


@dataclass(frozen=True, slots=True)
class Spend:
    """Reservations and settlements. What is reserved counts as spent until it is settled, also after a crash."""

    database: Database

    def reserve(self, row: SpendRow, purposes: Collection[str], *, calls: int | None, microdollars: int | None) -> bool:
        """Add to a day's spend unless that would exceed a limit; says whether it did.

        Args:
            row: what is to be spent.
            purposes: those that share the limits, the row's own among them.
            calls: the most calls that they may make in the day; None for no limit.
            microdollars: the most that they may cost; None for no limit.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            # All replicas take turns: a sum that is read here stands until the commit.
            connection.execute(select(mutexes.c.name).where(mutexes.c.name == SPEND_MUTEX).with_for_update())
            spent_calls, spent_money = _spent(connection, row.day, purposes)
            if calls is not None and spent_calls + row.calls > calls:
                return False
            if microdollars is not None and spent_money + row.microdollars > microdollars:
                return False
            _add(connection, row)
            return True

    def add(self, row: SpendRow) -> None:
        """Add to a day's spend, whatever the limit: the difference between what was reserved and what it came to.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        if row.calls == 0 and row.microdollars == 0:
            return
        with self.database.write() as connection:
            _add(connection, row)

    def of_day(self, day: int) -> list[SpendRow]:
        """What was spent and reserved on a day, by purpose.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(select(spend).where(spend.c.day == day).order_by(spend.c.purpose))
            return [SpendRow(**each) for each in found.mappings()]

    def forget(self, before_day: int) -> None:
        """Delete the days before.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            connection.execute(delete(spend).where(spend.c.day < before_day))


def _spent(connection: Connection, day: int, purposes: Collection[str]) -> tuple[int, int]:
    found = connection.execute(
        select(func.sum(spend.c.calls), func.sum(spend.c.microdollars)).where(
            spend.c.day == day, spend.c.purpose.in_(sorted(purposes))
        )
    ).one()
    return int(found[0] or 0), int(found[1] or 0)


def _add(connection: Connection, row: SpendRow) -> None:
    statement = insert(connection, spend).values(
        day=row.day, purpose=row.purpose, calls=row.calls, microdollars=row.microdollars
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["day", "purpose"],
            set_={
                "calls": spend.c.calls + statement.excluded.calls,
                "microdollars": spend.c.microdollars + statement.excluded.microdollars,
            },
        )
    )
