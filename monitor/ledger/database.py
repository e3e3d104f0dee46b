"""The border to SQLAlchemy: short transactions on SQLite or PostgreSQL, and one map of their errors to the ledger's."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from monitor.ledger.errors import LedgerAddressError, LedgerUnavailable
from monitor.ledger.postgresql import lifted_limits, postgresql_engine

BUSY_TIMEOUT_S = 30

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_BEGIN = "tracewatch_begin"


def open_engine(url: str | SecretStr) -> Engine:
    """An engine whose transactions begin as the ledger needs them; no connection is made yet.

    A secret is asked again at each new connection: its user and password may change.

    Raises:
        LedgerAddressError: the URL cannot be read, or names another kind of database.
    """
    current = url.get_secret_value if isinstance(url, SecretStr) else None
    address = address_of(url.get_secret_value() if isinstance(url, SecretStr) else url)
    if address.get_backend_name() == "sqlite":
        return _sqlite_engine(address)
    return postgresql_engine(address, BUSY_TIMEOUT_S, current)


def address_of(url: str) -> URL:
    """The address of a database that the ledger can live in.

    Raises:
        LedgerAddressError: the URL cannot be read, or names another kind of database.
    """
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise LedgerAddressError(
            "ledger.url is not a database URL: sqlite:///FILE or postgresql://USER@HOST/NAME is allowed"
        ) from error
    if (backend := address.get_backend_name()) not in {"sqlite", "postgresql"}:
        raise LedgerAddressError(f"ledger.url names a database of kind {backend}: sqlite and postgresql are allowed")
    return address


def _sqlite_engine(address: URL) -> Engine:
    # A database in memory lives as long as its one connection, which the pool hands to one thread at a time.
    in_memory = address.database in {None, "", ":memory:"}
    size = {"pool_size": 1, "max_overflow": 0} if in_memory else {"pool_size": 5, "max_overflow": 15}
    timeout = {} if "timeout" in address.query else {"timeout": BUSY_TIMEOUT_S}
    engine = sqlalchemy.create_engine(
        address,
        poolclass=QueuePool,
        pool_timeout=BUSY_TIMEOUT_S,
        connect_args={"check_same_thread": False, **timeout},
        # They hold customers' text, and an error that nobody expected is logged with its words.
        hide_parameters=True,
        **size,
    )

    def set_up(connection: Any, _record: Any) -> None:
        # Python's driver begins transactions late and never as IMMEDIATE: `begin` below does it in its place.
        connection.isolation_level = None
        _use_wal(connection)
        # Each commit reaches the disk: Kafka's offsets may not run ahead of the ledger after a power failure.
        connection.execute("PRAGMA synchronous=FULL")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    # The one statement that SQLite refuses at once, whatever the timeout, while another process makes the same switch.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@dataclass(frozen=True, slots=True)
class Database:
    """Transactions, each as short as its block. Blocks do not nest: a database in memory has one connection."""

    engine: Engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one snapshot in all its statements and writes nothing.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        options = {"isolation_level": "REPEATABLE READ"} if self.engine.dialect.name == "postgresql" else {}
        with self._transaction(options) as connection:
            yield connection

    @contextmanager
    def write(self, *, statements_may_take_long: bool = False) -> Iterator[Connection]:
        """A transaction that may write. On SQLite it is the only writer from its first statement on.

        Raises:
            LedgerUnavailable: the database does not answer, or no other writer ended within 30 s.
        """
        on_sqlite = self.engine.dialect.name == "sqlite"
        limits = lifted_limits if statements_may_take_long and not on_sqlite else nullcontext
        with self._transaction({_BEGIN: "BEGIN IMMEDIATE"} if on_sqlite else {}) as connection, limits(connection):
            yield connection

    @contextmanager
    def _transaction(self, options: Mapping[str, Any]) -> Iterator[Connection]:
        try:
            with self.engine.execution_options(**options).begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, InternalError, PoolTimeout) as error:
            raise LedgerUnavailable(cause_of(error)) from error
        except DBAPIError as error:
            # The bare class is SQLite's word for a damaged file, or one that is no database.
            if error.connection_invalidated or type(error) is DatabaseError:
                raise LedgerUnavailable(cause_of(error)) from error
            raise


def cause_of(error: Exception) -> str:
    """The driver's own words, without the statement and its parameters, which may hold customers' text."""
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).split()) or type(original).__name__


def values_of(row: "DataclassInstance") -> dict[str, Any]:
    """A row's fields by name, as they are: the columns' types write them."""
    return {field.name: getattr(row, field.name) for field in fields(row)}


Insert = sqlite.Insert | postgresql.Insert


def insert(connection: Connection, table: Table) -> Insert:
    """An INSERT of the connected dialect: the two share `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_once(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless its key is there: the first writer wins. Says whether this one did."""
    key = next(iter(table.primary_key))
    statement = insert(connection, table).values(values).on_conflict_do_nothing().returning(key)
    return connection.execute(statement).first() is not None


def add_counts(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], column: str = "count") -> None:
    """Add to counters, making those that are missing; in one order, so that two writers never deadlock."""
    if not rows:
        return
    keys = [key.name for key in table.primary_key]
    statement = insert(connection, table)
    upsert = statement.on_conflict_do_update(
        index_elements=keys, set_={column: table.c[column] + statement.excluded[column]}
    )
    connection.execute(upsert, sorted(rows, key=lambda row: tuple(row[key] for key in keys)))
