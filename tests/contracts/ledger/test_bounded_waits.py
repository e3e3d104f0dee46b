"""Databases that hang, are locked or full: in bounded time each is unavailable, and nothing is half-written."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import exc, func, select

from monitor.ledger import Ledger, LedgerUnavailable, open_ledger
from monitor.ledger.postgresql import ANSWER_TIMEOUT_S, STATEMENT_TIMEOUT_S, BoundedConnection
from monitor.ledger.schema import decisions, traces
from tests.contracts.ledger.ledger_rows import decision, trace
from tests.contracts.ledger.silent_proxy import proxy_to


def limited(url: str, **limits: str) -> str:
    """The URL with limits on the server's side that a test can wait for."""
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    return sqlalchemy.make_url(url).update_query_dict({"options": options}).render_as_string(hide_password=False)


@pytest.fixture
def postgres_ledger(postgres_ledger_url: str) -> str:
    """The URL of a database that has a ledger's tables: they are made before a test's limits hold."""
    open_ledger(postgres_ledger_url).close()
    return postgres_ledger_url


def in_a_transaction(ledger: Ledger, *statements: str, between: Callable[[], object] = lambda: None) -> None:
    """Run statements in one transaction, doing something between."""
    with ledger.database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
            between()


def test_a_server_that_falls_silent_is_given_up(postgres_ledger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What accepts and never answers is unavailable in bounded time, at a query and at connecting; then all is well."""
    monkeypatch.setattr(BoundedConnection, "answer_within_s", 1.0)
    with proxy_to(postgres_ledger) as (proxy, url):
        ledger = open_ledger(url)
        ledger.positions.open("traces", 0, 0)
        proxy.silent.set()
        # The first finds its connection silent, the second that no new one is to be had.
        with pytest.raises(LedgerUnavailable, match=r"did not answer within 1 s|timeout"):
            ledger.positions.open("traces", 0, 1)
        with pytest.raises(LedgerUnavailable, match="timeout"):
            ledger.probe()
        with pytest.raises(LedgerUnavailable):
            open_ledger(url)
        proxy.silent.clear()
        assert ledger.positions.open("traces", 0, 2) == 0
        ledger.close()


def test_a_transaction_whose_server_falls_silent_is_undone(
    postgres_ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written before the silence is not there afterwards."""
    monkeypatch.setattr(BoundedConnection, "answer_within_s", 1.0)
    straight = open_ledger(postgres_ledger)
    with proxy_to(postgres_ledger) as (proxy, url):
        ledger = open_ledger(url)
        insert = "INSERT INTO tracewatch_jobs (job) VALUES ('half')"
        with pytest.raises(LedgerUnavailable, match="did not answer within 1 s"):
            in_a_transaction(ledger, insert, "SELECT 1", between=proxy.silent.set)
        ledger.close()
    assert straight.jobs.all() == []
    straight.close()


def test_the_server_is_told_the_limits(postgres_ledger_url: str) -> None:
    """Statements, locks and idle transactions end there first; a migration may take as long as it takes."""
    assert STATEMENT_TIMEOUT_S < ANSWER_TIMEOUT_S
    ledger = open_ledger(postgres_ledger_url)

    def shown(*, long: bool) -> list[str]:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
        with ledger.database.write(statements_may_take_long=long) as connection:
            found = [str(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names]
            driver = connection.connection.dbapi_connection
            assert isinstance(driver, BoundedConnection)
            assert driver.answer_within_s == (None if long else ANSWER_TIMEOUT_S)
            return found

    for _ in range(2):
        assert shown(long=False) == ["30s", "15s", "10s", "1min"]
        assert shown(long=True) == ["0", "15s", "10s", "0"]
    ledger.close()


def test_a_statement_or_a_lock_that_takes_too_long_is_given_up(postgres_ledger: str) -> None:
    """Both are unavailability, and the next transaction works."""
    ledger = open_ledger(limited(postgres_ledger, statement_timeout="300ms"))
    with pytest.raises(LedgerUnavailable, match="statement timeout"):
        in_a_transaction(ledger, "SELECT pg_sleep(60)")
    ledger.probe()
    waiting = open_ledger(limited(postgres_ledger, lock_timeout="300ms"))
    lock = "LOCK TABLE tracewatch_jobs IN EXCLUSIVE MODE"
    with ledger.database.write() as connection:
        connection.exec_driver_sql(lock)
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            in_a_transaction(waiting, lock)
    in_a_transaction(waiting, lock)
    ledger.close()
    waiting.close()


def test_a_client_that_freezes_in_the_middle_of_a_batch_holds_its_locks_no_longer_than_a_transaction_may_last(
    postgres_ledger: str,
) -> None:
    """To the server it is neither idle nor at a statement: it waits for the rest of the batch."""
    frozen = open_ledger(limited(postgres_ledger, transaction_timeout="500ms"))
    other = open_ledger(limited(postgres_ledger, lock_timeout="10s"))
    frozen.positions.open("traces", 0, 0)
    update = "UPDATE tracewatch_positions SET next_offset = next_offset + 1"

    def advance() -> None:
        with frozen.database.write() as connection:
            driver = connection.connection.dbapi_connection
            assert isinstance(driver, BoundedConnection)
            with driver.pipeline():
                driver.execute(update)
                driver.pgconn.send_flush_request()
                driver.pgconn.flush()
                # Frozen here, before the batch is ended.
                other.positions.reset("traces", 0, 7)

    with pytest.raises(LedgerUnavailable):
        advance()
    assert other.positions.read("traces", 0) == 7
    frozen.close()
    other.close()


def test_a_holder_that_freezes_in_a_transaction_loses_the_lease(postgres_ledger: str) -> None:
    """The server ends its transaction, which held the lease's row; another takes over, and nothing was written."""
    frozen = open_ledger(limited(postgres_ledger, idle_in_transaction_session_timeout="300ms"))
    other = open_ledger(postgres_ledger)
    token = frozen.lease.acquire("leader", "frozen", 1.0, 0)

    def publish() -> None:
        with frozen.database.write() as connection:
            frozen.lease.guard(connection, token)
            connection.exec_driver_sql("INSERT INTO tracewatch_jobs (job) VALUES ('late')")
            # Frozen here. The other waits for the row until the server has given this transaction up.
            assert other.lease.acquire("leader", "other", 1.0, 60_000) is not None
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(LedgerUnavailable):
        publish()
    assert other.jobs.all() == []
    frozen.close()
    other.close()


def test_a_deadlock_is_something_to_try_again(postgres_ledger_url: str) -> None:
    """One of two transactions that wait for each other is told so; the other one is done."""
    ledger = open_ledger(postgres_ledger_url)
    ledger.jobs.succeeded("a", 1)
    ledger.jobs.succeeded("b", 1)
    meet = threading.Barrier(2)

    def update(first: str, second: str) -> bool:
        touch = sqlalchemy.text("UPDATE tracewatch_jobs SET last_success_ms = 2 WHERE job = :job")
        try:
            with ledger.database.write() as connection:
                connection.execute(touch, {"job": first})
                meet.wait(timeout=30)
                connection.execute(touch, {"job": second})
        except LedgerUnavailable as error:
            assert "deadlock" in str(error)  # noqa: PT017 - which of the two it hits is the server's choice
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        acts = [pool.submit(update, "a", "b"), pool.submit(update, "b", "a")]
        assert sorted(act.result(timeout=60) for act in acts) == [False, True]
    ledger.close()


def test_every_error_of_a_server_in_trouble_is_unavailability() -> None:
    """Connections, resources, operators, the system, conflicts, standbys: each SQLSTATE that trying again may mend."""
    mapped = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
    classes = ("08", "25", "40", "53", "55", "57", "58", "XX")
    states = {
        error.sqlstate: error
        for error in vars(psycopg.errors).values()
        if isinstance(error, type) and issubclass(error, psycopg.Error) and error.sqlstate
    }
    troubles = [error for state, error in states.items() if state.startswith(classes)]
    assert len(troubles) >= 50
    assert [error.__name__ for error in troubles if not issubclass(error, mapped)] == []
    assert {exc.OperationalError, exc.InterfaceError, exc.InternalError} == {
        getattr(exc, error.__name__) for error in mapped
    }


def test_a_sqlite_file_that_another_writer_holds_is_waited_for_and_then_unavailable(tmp_path: Path) -> None:
    """For the busy timeout; when the other ends the ledger goes on."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}?timeout=0.3")
    with closing(connect(tmp_path / "ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable, match="locked"):
            ledger.positions.open("traces", 0, 0)
        assert time.monotonic() - began >= 0.3
        ledger.probe()
        other.execute("ROLLBACK")
    assert ledger.positions.open("traces", 0, 7) == 7
    ledger.close()


def test_a_full_disk_is_unavailable_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """The transaction that found no room is undone as a whole; with room again the ledger goes on."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    room = {"pages": 200}

    def limit(connection, _record, _proxy) -> None:
        connection.execute(f"PRAGMA max_page_count = {room['pages']}")

    sqlalchemy.event.listen(ledger.database.engine, "checkout", limit)
    batches = [
        [
            (trace(trace_id=f"tr-{number}-{each}", offset=100 * number + each, name="x" * 500), [decision()])
            for each in range(100)
        ]
        for number in range(20)
    ]
    full = next(number for number, batch in enumerate(batches) if not _taken_in(ledger, batch))
    assert 0 < full < len(batches)
    with ledger.database.read() as connection:
        for table in (traces, decisions):
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 100 * full
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    room["pages"] = 100_000
    assert {claim.outcome for claim in ledger.intake.claim_all(batches[full])} == {"new"}
    ledger.close()


def _taken_in(ledger: Ledger, batch) -> bool:
    try:
        ledger.intake.claim_all(batch)
    except LedgerUnavailable as error:
        assert "full" in str(error)  # noqa: PT017 - when it happens depends on the size of a page
        return False
    return True
