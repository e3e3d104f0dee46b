"""Two releases on one database, and what is further apart."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import insert, select

from monitor.clock import ManualClock
from monitor.ledger import (
    Ledger,
    LedgerTooNew,
    LedgerTooOld,
    LedgerUnavailable,
    OldReplicasRun,
    ReplicaRow,
    open_ledger,
)
from monitor.ledger.database import Database, open_engine, values_of
from monitor.ledger.migrate import ALIVE_FOR_MS, migrate, schema_of
from monitor.ledger.revisions import OURS, Revisions
from monitor.ledger.schema import compatibility, replicas
from tests.contracts.ledger.releases import AFTER_NEXT, NEXT, take_in

ROOT = Path(__file__).parents[3]
EVENTS = 20


@contextmanager
def replica_of_the_next_release(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has brought the database to revision 9001 and takes in an event for each line it is sent."""
    command = [sys.executable, "-m", "tests.contracts.ledger.releases", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as replica:
        assert replica.stdout is not None
        assert replica.stdout.readline() == "ready\n"
        yield replica
        assert replica.communicate(timeout=60)[0] == "left\n"
    assert replica.returncode == 0


def test_this_release_and_the_next_work_side_by_side_and_back_again(ledger: Ledger, ledger_url: str) -> None:
    """The next release upgrades under this one; both work; it leaves; this one goes on, started anew as well."""
    ledger.positions.open("traces", 0, 0)
    take_in(ledger, 0, 0)
    with replica_of_the_next_release(ledger_url) as newer:
        assert newer.stdin is not None
        for offset in range(1, EVENTS):
            newer.stdin.write("one more\n")
            newer.stdin.flush()
            take_in(ledger, 0, offset)
        assert schema_of(ledger.database).revision == "9001"
        beside = open_ledger(ledger_url)
        take_in(beside, 0, EVENTS)
        assert beside.lease.acquire("leader", "this release", 1.0, 0) is not None
        beside.close()
    again = open_ledger(ledger_url)
    take_in(again, 0, EVENTS + 1)
    assert {row.partition: row.received for row in again.positions.all()} == {0: EVENTS + 2, 1: EVENTS - 1}
    assert again.positions.mismatches() == []
    assert again.members.count("production") == 2 * EVENTS + 1
    with again.database.read() as connection:
        tenants = connection.exec_driver_sql("SELECT count(*), count(tenant) FROM tracewatch_traces").one()
    assert tuple(tenants) == (2 * EVENTS + 1, EVENTS - 1)
    again.close()


def test_a_release_that_would_break_a_running_replica_waits_for_its_end(ledger: Ledger, ledger_url: str) -> None:
    """A revision that contracts is refused, with the names of those that run, and goes through when they have left."""
    clock = ManualClock(ALIVE_FOR_MS)
    ledger.replicas.beat("shop-1:7", "0.1.0", clock.now_ms())
    ledger.replicas.beat("gone-without-a-word", "0.1.0", clock.now_ms() - ALIVE_FOR_MS - 1)
    with pytest.raises(OldReplicasRun, match=r"these replicas run older code: shop-1:7 \(0\.1\.0\)\. Stop them"):
        open_ledger(ledger_url, revisions=AFTER_NEXT, clock=clock)
    assert schema_of(ledger.database).revision == OURS.head
    open_ledger(ledger_url, revisions=NEXT, clock=clock).close()
    ledger.replicas.leave("shop-1:7")
    open_ledger(ledger_url, revisions=AFTER_NEXT, clock=clock).close()
    schema = schema_of(ledger.database)
    assert (schema.revision, schema.works_from) == ("9002", "9001")


def test_a_release_that_the_schema_has_left_behind_is_refused(ledger: Ledger, ledger_url: str) -> None:
    """It neither starts nor goes on, and says which revisions are which; the one in between still works."""
    open_ledger(ledger_url, revisions=AFTER_NEXT).close()
    words = (
        rf"at revision 9002, which works with revision 9001 and newer; this is Tracewatch .* with revision {OURS.head}"
    )
    with pytest.raises(LedgerTooNew, match=words):
        open_ledger(ledger_url)
    with pytest.raises(LedgerTooNew, match=words):
        open_ledger(ledger_url, migration="manual")
    with pytest.raises(LedgerTooNew, match="works with revision 9001 and newer"):
        ledger.replicas.beat("woken", "0.1.0", 0)
    assert ledger.replicas.seen_since(0) == []
    in_between = open_ledger(ledger_url, revisions=NEXT)
    in_between.replicas.beat("in-between", "0.2.0", 0)
    in_between.close()


def test_a_replica_that_starts_during_a_migration_is_seen_by_it(ledger: Ledger, ledger_url: str) -> None:
    """A first sign of life that is not committed yet when the migration looks is waited for."""
    given = threading.Event()

    def start() -> None:
        with ledger.database.write() as connection:
            connection.execute(select(compatibility.c.works_from).with_for_update(read=True))
            row = ReplicaRow(holder="starting", version="0.1.0", revision=OURS.head, started_ms=1, seen_ms=1)
            connection.execute(insert(replicas).values(values_of(row)))
            given.set()
            # The migration is let go now: give it every chance to overtake.
            threading.Event().wait(0.3)

    def upgrade() -> None:
        assert given.wait(timeout=30)
        database = Database(open_engine(ledger_url))
        try:
            migrate(database, 1, AFTER_NEXT)
        finally:
            database.engine.dispose()

    with ThreadPoolExecutor(2) as pool:
        starting, upgrading = pool.submit(start), pool.submit(upgrade)
        starting.result(timeout=60)
        with pytest.raises(OldReplicasRun, match="starting"):
            upgrading.result(timeout=60)


def test_an_old_database_is_brought_forward_in_one_go(ledger_url: str) -> None:
    """One of the first revision, with what it knows, becomes one of the newest, two steps on."""
    database = Database(open_engine(ledger_url))
    with database.write() as connection:
        _upgrade_to(connection, OURS, "0001")
    assert str(schema_of(database)) == "at revision 0001"
    with database.write() as connection:
        connection.exec_driver_sql("INSERT INTO tracewatch_jobs (job, last_success_ms) VALUES ('evaluation', 7)")
    done = migrate(database, 0, AFTER_NEXT)
    assert (done.before, done.after) == ("0001", "9002")
    database.engine.dispose()
    opened = open_ledger(ledger_url, revisions=NEXT)
    assert [(row.job, row.last_success_ms) for row in opened.jobs.all()] == [("evaluation", 7)]
    opened.close()


def test_a_failed_migration_leaves_the_database_as_it_was(ledger_url: str, tmp_path: Path) -> None:
    """What a revision did before it failed is undone, on both databases."""
    ledger = open_ledger(ledger_url)
    text = (NEXT.folders[-1] / "revision_9001.py").read_text().replace('"tracewatch_tenants"', '"tracewatch_jobs"')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "revision_9001.py").write_text(text)
    with pytest.raises(LedgerUnavailable, match="already exists"):
        open_ledger(ledger_url, revisions=Revisions((*OURS.folders, tmp_path / "broken")))
    assert schema_of(ledger.database).revision == OURS.head
    with ledger.database.read() as connection:
        columns = {column["name"] for column in sqlalchemy.inspect(connection).get_columns("tracewatch_traces")}
    assert "tenant" not in columns
    ledger.close()


def test_manual_migration_refuses_and_names_the_command(ledger_url: str) -> None:
    """Nothing is changed in an empty database, nor in one that is behind."""
    with pytest.raises(LedgerTooOld, match=r"the ledger is empty and .* run `tracewatch migrate -c FILE`"):
        open_ledger(ledger_url, migration="manual")
    open_ledger(ledger_url).close()
    open_ledger(ledger_url, migration="manual").close()
    with pytest.raises(LedgerTooOld, match=rf"is at revision {OURS.head} and .* needs revision 9001"):
        open_ledger(ledger_url, migration="manual", revisions=NEXT)


def test_every_revision_says_who_can_work_with_it() -> None:
    """The oldest code that can never goes back, and is never newer than the revision itself."""
    revisions = sorted(AFTER_NEXT.known)
    works_from = [AFTER_NEXT.works_from_of(revision) for revision in revisions]
    assert works_from == sorted(works_from)
    assert all(oldest <= revision for oldest, revision in zip(works_from, revisions, strict=True))


def _upgrade_to(connection: sqlalchemy.Connection, revisions: Revisions, revision: str) -> None:
    from alembic import command

    config = revisions._config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
