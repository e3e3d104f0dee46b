"""Bringing the ledger's schema to the newest revision by an operator's order."""

from collections.abc import Iterator
from contextlib import contextmanager

from monitor.clock import Clock
from monitor.ledger.database import Database, open_engine
from monitor.ledger.migrate import is_pending, migrate, schema_of
from monitor.ledger.revisions import OURS
from monitor.ledger.settings import LedgerSettings


def migrate_ledger(settings: LedgerSettings, clock: Clock) -> str:
    """Run what is pending, and say from where to where.

    Raises:
        LedgerTooNew | OldReplicasRun: it may not be; nothing is changed.
        LedgerUnavailable | LedgerAddressError: there is no ledger to migrate.
    """
    with _database(settings) as database:
        done = migrate(database, clock.now_ms())
    if done.before is not None and done.before >= done.after:
        return f"the ledger is at revision {done.before}: nothing to do"
    return f"the ledger was {done.before or 'empty'} and is at revision {done.after} now"


def pending_migration(settings: LedgerSettings) -> tuple[bool, str]:
    """Whether a migration is pending, and in words; changes nothing.

    Raises:
        LedgerTooNew: a newer version has brought it further than this code can work with.
        LedgerUnavailable | LedgerAddressError: there is no ledger to migrate.
    """
    with _database(settings) as database:
        schema = schema_of(database)
    pending = is_pending(schema)
    return pending, f"the ledger is {schema}: " + (f"revision {OURS.head} is pending" if pending else "nothing to do")


@contextmanager
def _database(settings: LedgerSettings) -> Iterator[Database]:
    database = Database(open_engine(settings.url))
    try:
        yield database
    finally:
        database.engine.dispose()
