"""Bring a database to the newest revision that this version knows."""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from monitor.ledger.database import Database

VERSION_TABLE = "tracewatch_version"

_MIGRATIONS = Path(__file__).parent / "migrations"
# Any number that no other program locks by: the first bytes of sha256("tracewatch ledger").
_ADVISORY_LOCK = 0x7C_3A_19_E2_5D
# Alembic keeps the environment it runs in a module of its own: threads take turns.
_ONE_AT_A_TIME = threading.Lock()


def migrate(database: Database) -> None:
    """Run the revisions that are missing, in one transaction; replicas that start together take turns.

    A database at a revision that is unknown here belongs to a newer version that runs beside this one: revisions expand
    before they contract, so it is left as it is.

    Raises:
        LedgerUnavailable: the database does not answer.
    """
    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with database.read() as connection:
        current = current_revision(connection)
    if current == scripts.get_current_head():
        return
    with database.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        current = current_revision(connection)
        if current is None or current in {script.revision for script in scripts.walk_revisions()}:
            with _ONE_AT_A_TIME:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")


def current_revision(connection: Connection) -> str | None:
    """The revision of a database, None for an empty one."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
