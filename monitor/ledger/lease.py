"""Which replica runs the schedule, closes blocks and publishes: a row with a fencing token."""

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from monitor.ledger.database import Database, insert_once
from monitor.ledger.errors import LeaseLost
from monitor.ledger.rows import LeaseStanding, LeaseToken
from monitor.ledger.schema import leases


@dataclass(frozen=True, slots=True)
class Leases:
    """Leases by name. A holder's name must be unique to its process: whoever gives the same one is the same holder.

    Fencing rests on tokens alone, so that replicas whose clocks differ only fight more or less often: they never
    publish both.
    """

    database: Database

    def acquire(self, name: str, holder: str, ttl_s: float, now_ms: int) -> LeaseToken | None:
        """Take the lease if it is free or has run out; None while another holds it. Its holder gets it prolonged.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        expires = now_ms + round(ttl_s * 1000)
        row = leases.c
        with self.database.write() as connection:
            insert_once(connection, leases, {"name": name, "holder": "", "token": 0, "expires_at_ms": 0})
            kept = connection.execute(
                update(leases)
                .where(row.name == name, row.holder == holder, row.expires_at_ms > now_ms)
                .values(expires_at_ms=expires)
                .returning(row.token)
            ).scalar_one_or_none()
            if kept is None:
                kept = connection.execute(
                    update(leases)
                    .where(row.name == name, row.expires_at_ms <= now_ms)
                    .values(holder=holder, token=row.token + 1, expires_at_ms=expires)
                    .returning(row.token)
                ).scalar_one_or_none()
        return None if kept is None else LeaseToken(name=name, holder=holder, token=kept)

    def standing(self, name: str) -> LeaseStanding | None:
        """The lease as it stands; it changes with each renewal. None for one that nobody ever took.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(leases.c.token, leases.c.expires_at_ms).where(leases.c.name == name)
            ).first()
        return None if found is None else LeaseStanding(token=found.token, expires_at_ms=found.expires_at_ms)

    def seize(self, name: str, holder: str, ttl_s: float, now_ms: int, seen: LeaseStanding) -> LeaseToken | None:
        """Take a lease that stands as it was seen, whatever its holder's clock said; None if it was renewed since.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = leases.c
        with self.database.write() as connection:
            taken = connection.execute(
                update(leases)
                .where(row.name == name, row.token == seen.token, row.expires_at_ms == seen.expires_at_ms)
                .values(holder=holder, token=row.token + 1, expires_at_ms=now_ms + round(ttl_s * 1000))
                .returning(row.token)
            ).scalar_one_or_none()
        return None if taken is None else LeaseToken(name=name, holder=holder, token=taken)

    def renew(self, token: LeaseToken, ttl_s: float, now_ms: int) -> bool:
        """Prolong a lease that nobody else has taken since, even one that has run out; False if it is lost.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            found = connection.execute(
                update(leases)
                .where(leases.c.name == token.name, leases.c.token == token.token, leases.c.holder == token.holder)
                .values(expires_at_ms=now_ms + round(ttl_s * 1000))
            )
            return found.rowcount == 1

    def release(self, token: LeaseToken) -> bool:
        """Give the lease up, so that another need not wait for its end. False if it was lost already.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            found = connection.execute(
                update(leases)
                .where(leases.c.name == token.name, leases.c.token == token.token, leases.c.holder == token.holder)
                .values(holder="", expires_at_ms=0)
            )
            return found.rowcount == 1

    def guard(self, connection: Connection, token: LeaseToken | None) -> None:
        """Check a token inside the transaction that publishes; see the function of the same name."""
        guard(connection, token)


def guard(connection: Connection, token: LeaseToken | None) -> None:
    """Hold the lease for the rest of this transaction: nobody can take it before the commit. None checks nothing.

    Raises:
        LeaseLost: another holder has it, or it was released.
    """
    if token is None:
        return
    found = connection.execute(
        select(leases.c.token, leases.c.holder).where(leases.c.name == token.name).with_for_update(read=True)
    ).first()
    if found is None or (found.token, found.holder) != (token.token, token.holder):
        raise LeaseLost(f"the lease {token.name!r} is no longer held by {token.holder} with token {token.token}")
