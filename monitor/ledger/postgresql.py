"""Connections to PostgreSQL on which nothing can take for ever: no statement, no lock, no transaction, no silence."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import sqlalchemy
from psycopg.waiting import Ready
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL, make_url

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 15
STATEMENT_TIMEOUT_S = 30
# The server has given up long before: it is gone, or something between here and there swallows its words.
ANSWER_TIMEOUT_S = 35
# A frozen replica holds its locks no longer than this, the lease's row among them.
IDLE_IN_TRANSACTION_TIMEOUT_S = 10

# A client that freezes in the middle of a batch is not idle to the server, and no statement of it runs.
TRANSACTION_TIMEOUT_S = 60
_KNOWS_TRANSACTION_TIMEOUT = 170_000

_LIMITS = {
    "lock_timeout": LOCK_TIMEOUT_S,
    "statement_timeout": STATEMENT_TIMEOUT_S,
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_TIMEOUT_S,
}


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is given up when the server does not answer a statement in time.

    TCP's own timeouts find only a peer that does not acknowledge; a proxy or a stopped server acknowledges for ever.
    """

    answer_within_s: float | None = ANSWER_TIMEOUT_S

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Wait for what the server answers.

        Raises:
            psycopg.OperationalError: it did not in time; the connection is closed.
        """
        limit_s = self.answer_within_s
        return super().wait(gen if limit_s is None else self._within(limit_s, gen), *args, **kwargs)

    def _within(self, limit_s: float, gen: Any) -> Any:
        deadline = time.monotonic() + limit_s
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready == Ready.NONE and time.monotonic() > deadline:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server did not answer within {limit_s:g} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value


def postgresql_engine(address: URL, pool_timeout_s: float, current: Callable[[], str] | None = None) -> Engine:
    """An engine with these limits. What the URL says itself stands: `?options=` sends the server none of them.

    `current` gives the URL as it is now: each new connection logs in with its user and password. Connections that are
    open stay: PostgreSQL asks for a password only when one begins.
    """
    arguments: dict[str, Any] = {}
    bounded = address.get_driver_name() == "psycopg"
    if bounded:
        defaults = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "tcp_user_timeout": ANSWER_TIMEOUT_S * 1000,
            "options": " ".join(f"-c {name}={seconds}s" for name, seconds in _LIMITS.items()),
        }
        arguments = {name: value for name, value in defaults.items() if name not in address.query}
    engine = sqlalchemy.create_engine(
        address,
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=15,
        pool_timeout=pool_timeout_s,
        connect_args=arguments,
        # They hold customers' text, and an error that nobody expected is logged with its words.
        hide_parameters=True,
    )
    if current is not None:
        # Before the other one, which makes the connection.
        event.listen(engine, "do_connect", partial(_log_in, current))
    if bounded:
        event.listen(engine, "do_connect", _connect)
    if "options" in arguments:
        event.listen(engine, "connect", _bound_transactions)
    return engine


@contextmanager
def lifted_limits(connection: Connection) -> Iterator[None]:
    """Lift the limit on statements for one transaction: an index over a large table is built in minutes."""
    bounded = connection.connection.dbapi_connection
    connection.execute(sqlalchemy.text("SET LOCAL statement_timeout = 0"))
    if (connection.dialect.server_version_info or (0,)) >= (17,):
        connection.execute(sqlalchemy.text("SET LOCAL transaction_timeout = 0"))
    if not isinstance(bounded, BoundedConnection):
        yield
        return
    bounded.answer_within_s = None
    try:
        yield
    finally:
        bounded.answer_within_s = ANSWER_TIMEOUT_S


def _bound_transactions(connection: Any, _record: Any) -> None:
    # Older servers refuse a connection that asks for it.
    if connection.info.server_version >= _KNOWS_TRANSACTION_TIMEOUT:
        connection.execute(f"SET transaction_timeout = '{TRANSACTION_TIMEOUT_S}s'")
        connection.commit()


def _log_in(current: Callable[[], str], _dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
    address = make_url(current())
    if address.password is not None:
        named["password"] = address.password
        named["user"] = address.username


def _connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> BoundedConnection:
    return BoundedConnection.connect(*arguments, **named)
