"""The judge budget of the whole group: factors, demand, calls of the last hour. A minute is ms // 60000."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, func, select

from monitor.ledger.database import Database, add_counts, insert_once
from monitor.ledger.schema import budget_calls, budget_demand, budget_factors, mutexes

HOUR_MINUTES = 60
CALLS_MUTEX = "judge_calls"

_REMEMBERED_FACTORS = 10_000


class _FactorMemory:
    """The factors read last; they never change once written."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._factors: OrderedDict[tuple[str, int], float] = OrderedDict()

    def get(self, key: tuple[str, int]) -> float | None:
        with self._lock:
            return self._factors.get(key)

    def put(self, key: tuple[str, int], factor: float) -> None:
        with self._lock:
            self._factors[key] = factor
            if len(self._factors) > self._size:
                self._factors.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._factors.clear()


@dataclass(frozen=True, slots=True)
class Budget:
    """What replicas agree on about judge calls."""

    database: Database
    _memory: _FactorMemory = field(default_factory=lambda: _FactorMemory(_REMEMBERED_FACTORS), compare=False)

    def factor(self, scorer: str, minute: int, propose: Callable[[], float]) -> float:
        """The factor of a scorer in a minute of event time: the first that anybody proposed, for ever.

        `propose` is called outside any transaction, and only when no factor is known.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        key = (scorer, minute)
        known = self._memory.get(key)
        if known is None:
            with self.database.read() as connection:
                known = _factor(connection, scorer, minute)
        if known is None:
            proposed = propose()
            with self.database.write() as connection:
                insert_once(connection, budget_factors, {"scorer": scorer, "minute": minute, "factor": proposed})
                known = _factor(connection, scorer, minute)
            known = proposed if known is None else known
        self._memory.put(key, known)
        return known

    def known_factor(self, scorer: str, minute: int) -> float | None:
        """The factor of a scorer in a minute, None where nobody has needed one; proposes nothing.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            return _factor(connection, scorer, minute)

    def add_demand(self, minute: int, demand: Mapping[str, int]) -> None:
        """Add to the judge calls that each scorer would have made in a minute, had there been no budget.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        rows = [{"minute": minute, "scorer": scorer, "count": count} for scorer, count in demand.items() if count]
        if rows:
            with self.database.write() as connection:
                add_counts(connection, budget_demand, rows)

    def demand(self, minutes: Collection[int]) -> dict[int, dict[str, int]]:
        """Minute -> scorer -> calls, of the minutes asked for that have any.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        if not minutes:
            return {}
        row = budget_demand.c
        with self.database.read() as connection:
            found = connection.execute(
                select(row.minute, row.scorer, row["count"])
                .where(row.minute.in_(sorted(minutes)))
                .order_by(row.minute, row.scorer)
            ).all()
        demand: dict[int, dict[str, int]] = {}
        for minute, scorer, count in found:
            demand.setdefault(minute, {})[scorer] = count
        return demand

    def reserve_calls(self, calls: int, now_minute: int, per_hour: int) -> int:
        """Reserve up to so many judge calls; returns how many are granted.

        No 60 minutes in a row ever hold more than `per_hour` granted calls, whichever replicas ask: the minute that
        began an hour ago counts in full. A grant whose answer was lost stays spent.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        if calls <= 0:
            return 0
        with self.database.write() as connection:
            connection.execute(select(mutexes.c.name).where(mutexes.c.name == CALLS_MUTEX).with_for_update())
            granted = max(0, min(calls, per_hour - _calls_of_hour(connection, now_minute)))
            if granted:
                add_counts(connection, budget_calls, [{"minute": now_minute, "calls": granted}], column="calls")
        return granted

    def calls_in_last_hour(self, now_minute: int) -> int:
        """Calls granted since the beginning of the minute an hour ago.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            return _calls_of_hour(connection, now_minute)

    def forget(self, before_minute: int) -> None:
        """Delete factors, demand and calls of the minutes before: only of those that no redelivery can reach.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            for table in (budget_factors, budget_demand, budget_calls):
                connection.execute(delete(table).where(table.c.minute < before_minute))
        self._memory.clear()


def _factor(connection: Connection, scorer: str, minute: int) -> float | None:
    found: float | None = connection.execute(
        select(budget_factors.c.factor).where(budget_factors.c.scorer == scorer, budget_factors.c.minute == minute)
    ).scalar_one_or_none()
    return found


def _calls_of_hour(connection: Connection, now_minute: int) -> int:
    # A replica's clock may be ahead a little; what was granted by one that was far ahead is not of this hour.
    of_hour = budget_calls.c.minute.between(now_minute - HOUR_MINUTES, now_minute + HOUR_MINUTES)
    return int(connection.execute(select(func.sum(budget_calls.c.calls)).where(of_hour)).scalar_one() or 0)
