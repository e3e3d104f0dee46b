"""Which schema a database has, whether this version's code can work with it, and bringing it to the newest revision.

Revisions expand first and contract one minor release later, so that versions N and N-1 run side by side: see
`docs/design/state-on-disk.md`.
"""

from dataclasses import dataclass

import sqlalchemy
from sqlalchemy import Connection, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from monitor.ledger.database import Database, cause_of
from monitor.ledger.errors import LedgerTooNew, LedgerTooOld, LedgerUnavailable, OldReplicasRun
from monitor.ledger.replicas import seen_since
from monitor.ledger.revisions import OURS, Revisions, current_revision
from monitor.ledger.schema import compatibility, replicas
from monitor.versions import __version__

ALIVE_FOR_MS = 5 * 60_000
"""A replica that was seen within this time is taken to run: many times the interval of its signs of life."""

# Any number that no other program locks by: the first bytes of sha256("tracewatch ledger").
_ADVISORY_LOCK = 0x7C_3A_19_E2_5D


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """What a database says of itself.

    `revision` is None for an empty one. `works_from` is the oldest revision whose code can work with it, None where
    the revision is too old to say.
    """

    revision: str | None
    works_from: str | None

    def __str__(self) -> str:
        return "empty" if self.revision is None else f"at revision {self.revision}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """From which revision to which a database was brought; `before` is None for an empty one."""

    before: str | None
    after: str


def schema_of(database: Database) -> Schema:
    """What the database says of itself.

    Raises:
        LedgerUnavailable: the database does not answer.
    """
    with database.read() as connection:
        return _schema(connection)


def is_pending(schema: Schema, revisions: Revisions = OURS) -> bool:
    """Whether the schema lacks revisions that this code needs; False as well for one that a newer version has expanded.

    Raises:
        LedgerTooNew: a newer version has brought it further than this code can work with.
    """
    if schema.revision is None or schema.revision in revisions.known:
        return schema.revision != revisions.head
    if schema.works_from is None or revisions.head < schema.works_from:
        raise LedgerTooNew(
            f"the ledger is {schema}, which works with revision {schema.works_from or schema.revision} and newer; this "
            f"is Tracewatch {__version__} with revision {revisions.head}: run the version that the ledger was migrated "
            "for, or a newer one"
        )
    return False


def require_migrated(database: Database, revisions: Revisions = OURS) -> None:
    """Do nothing if the code can work with the database as it is.

    Raises:
        LedgerTooOld: a migration is pending.
        LedgerTooNew: a newer version has brought it further than this code can work with.
        LedgerUnavailable: the database does not answer.
    """
    schema = schema_of(database)
    if is_pending(schema, revisions):
        raise LedgerTooOld(
            f"the ledger is {schema} and Tracewatch {__version__} needs revision {revisions.head}: run "
            "`tracewatch migrate -c FILE`, or set `ledger.migrate: auto`"
        )


def migrate(database: Database, now_ms: int, revisions: Revisions = OURS) -> Migration:
    """Run the revisions that are missing, in one transaction; replicas that start together take turns.

    A database that a newer version has expanded is left as it is.

    Raises:
        LedgerTooNew: a newer version has brought it further than this code can work with.
        OldReplicasRun: replicas run whose code cannot work with the newest revision; nothing is changed.
        LedgerUnavailable: the database does not answer, or refuses; its words are in the error.
    """
    try:
        schema = schema_of(database)
        if is_pending(schema, revisions):
            with database.write(statements_may_take_long=True) as connection:
                schema = _upgrade(connection, now_ms, revisions)
    except SQLAlchemyError as error:
        # A missing permission, say: an operator may grant it while the daemon waits.
        raise LedgerUnavailable(cause_of(error)) from error
    return Migration(before=schema.revision, after=max(schema.revision or "", revisions.head))


def _upgrade(connection: Connection, now_ms: int, revisions: Revisions) -> Schema:
    """Upgrade unless another replica just did. Returns the schema as it was before."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    schema = _schema(connection)
    if is_pending(schema, revisions):
        if schema.works_from is not None:
            # A replica that is starting shares this row when it gives its first sign: it is seen here, or it sees us.
            connection.execute(select(compatibility.c.works_from).with_for_update())
        _refuse_to_break(connection, revisions, now_ms)
        revisions.upgrade(connection)
        connection.execute(update(compatibility).values(works_from=revisions.works_from))
    return schema


def _refuse_to_break(connection: Connection, revisions: Revisions, now_ms: int) -> None:
    if not sqlalchemy.inspect(connection).has_table(replicas.name):
        return
    running = seen_since(connection, now_ms - ALIVE_FOR_MS)
    broken = [f"{each.holder} ({each.version})" for each in running if each.revision < revisions.works_from]
    if broken:
        raise OldReplicasRun(
            f"revision {revisions.head} works with revision {revisions.works_from} and newer, and these replicas run "
            f"older code: {', '.join(broken)}. Stop them, or upgrade them to the version in between first"
        )


def _schema(connection: Connection) -> Schema:
    revision = current_revision(connection)
    works_from = None
    if revision is not None and sqlalchemy.inspect(connection).has_table(compatibility.name):
        works_from = connection.execute(select(compatibility.c.works_from)).scalar_one()
    return Schema(revision=revision, works_from=works_from)
