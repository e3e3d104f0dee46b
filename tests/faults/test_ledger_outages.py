"""The ledger's database locked, out of space, restarted: the daemon waits, says why, and goes on where it stood."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from monitor.ledger.ledger import open_ledger
from tests.acceptance.running_daemon import running
from tests.faults.databases import fresh_database
from tests.faults.extent import choose
from tests.faults.scarce_disk import limited_pages, small_tmpfs
from tests.faults.trial import Trial, fault_config
from tests.postgres_servers import brought_up, start_postgres

BUSY_S = choose(short=1, full=10)
HOLD_S = choose(short=2.0, full=30.0)


@contextmanager
def trial_on(
    ledger_url: str, kafka: Any, topic: str, mlflow_uri: str, judge_endpoint: Any, **sections: Any
) -> Iterator[Trial]:
    """A daemon on this ledger; the trial's own look into it goes through a connection of its own."""
    config = fault_config(kafka.bootstrap_servers, topic, mlflow_uri, ledger_url, judge_endpoint.base_url, **sections)
    with running(config) as daemon:
        daemon.eventually(lambda: daemon.readiness()[0] == 200, "ready")
        ledger = open_ledger(ledger_url)
        yield Trial(
            daemon=daemon, app=topic, source=config.source, ledger=ledger, mlflow_uri=mlflow_uri, judge=judge_endpoint
        )
        ledger.close()


@contextmanager
def locked_by_another_process(file: Path) -> Iterator[None]:
    """Another process is the only writer, for as long as the block takes."""
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read(); c.execute('ROLLBACK')"
    )
    command = [sys.executable, "-c", program, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield
        process.communicate()


def test_a_sqlite_ledger_locked_by_another_process_is_waited_for(
    kafka: Any, topic: str, mlflow_uri: str, judge_endpoint: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """For longer than a statement waits by itself."""
    monkeypatch.setattr("monitor.ledger.database.BUSY_TIMEOUT_S", BUSY_S)
    file = tmp_path / "ledger.db"
    with trial_on(f"sqlite:///{file}", kafka, topic, mlflow_uri, judge_endpoint) as trial:

        def says_why() -> None:
            assert "locked" in trial.is_away("ledger")

        figures = trial.endure("locked", locked_by_another_process(file), says_why, hold_s=BUSY_S + HOLD_S)
    figures.report(service="ledger", fault="locked", database="sqlite", busy_timeout_s=BUSY_S)


def test_a_sqlite_ledger_whose_disk_is_full_is_waited_for_and_holds_no_half_of_anything(
    kafka: Any, topic: str, mlflow_uri: str, judge_endpoint: Any, tmp_path: Path
) -> None:
    """It goes on once there is room; the file is sound, and no verdict is there without its decision settled."""
    with small_tmpfs(tmp_path) or limited_pages(tmp_path) as disk:
        file = disk.folder / "ledger.db"
        with trial_on(f"sqlite:///{file}", kafka, topic, mlflow_uri, judge_endpoint) as trial:
            figures = trial.endure("full", disk.filled(), lambda: trial.is_away("ledger"), hold_s=HOLD_S)
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute(_VERDICTS_AND_SETTLED).fetchone() == (figures.events * 2, figures.events * 2)
    figures.report(service="ledger", fault="disk full", by=disk.means)


_VERDICTS_AND_SETTLED = (
    "SELECT (SELECT count(*) FROM tracewatch_verdicts), "
    "(SELECT count(*) FROM tracewatch_decisions WHERE state = 'scored')"
)


class Postgres:
    """A server of the test's own, which it may end as it likes."""

    def __init__(self, folder: Path) -> None:
        self._server = start_postgres(folder)
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)

    @contextmanager
    def crashed(self) -> Iterator[None]:
        """SIGKILL to the postmaster; started again, it recovers from its log."""
        process = self._server.get_postmaster_info().process
        process.kill()
        process.wait()
        try:
            yield
        finally:
            brought_up(self._server.ensure_postgres_running)

    def stop(self) -> None:
        """For good."""
        self._server.cleanup()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="tracewatch-crash-"))
    server = Postgres(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def all_sessions_terminated(ledger_url: str) -> Iterator[None]:
    """An administrator throws everybody out, and again at the end."""
    with _administrator(ledger_url) as connection:
        connection.execute(_TERMINATE)
        yield
        connection.execute(_TERMINATE)


@contextmanager
def tables_locked(ledger_url: str) -> Iterator[None]:
    """An administrator holds the tables that every event needs."""
    with _administrator(ledger_url) as connection:
        connection.execute(sqlalchemy.text("BEGIN"))
        connection.execute(
            sqlalchemy.text("LOCK TABLE tracewatch_verdicts, tracewatch_positions IN ACCESS EXCLUSIVE MODE")
        )
        yield
        connection.execute(sqlalchemy.text("ROLLBACK"))


_TERMINATE = sqlalchemy.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
    "pg_backend_pid()"
)


@contextmanager
def _administrator(url: str) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        yield connection


FAULTS: dict[str, Callable[[Postgres, str], AbstractContextManager[None]]] = {
    "sessions terminated": lambda _server, url: all_sessions_terminated(url),
    "tables locked": lambda _server, url: tables_locked(url),
    "server killed": lambda server, _url: server.crashed(),
}


@pytest.fixture(scope="module")
def trial(kafka: Any, postgres: Postgres, tmp_path_factory: Any, judge_endpoint: Any) -> Iterator[tuple[Trial, str]]:
    """A daemon on a PostgreSQL that gives up a wait for a lock after a second; and its ledger's URL."""
    from mlflow_stores import copy_store

    topic = "postgres-ledger-outages"
    kafka.create_topic(topic, 3)
    mlflow_uri = copy_store(tmp_path_factory.mktemp("mlflow") / "mlflow.db")
    with fresh_database(postgres.url) as url:
        limited = sqlalchemy.make_url(url).update_query_dict({"options": "-c lock_timeout=1s"})
        ledger_url = limited.render_as_string(hide_password=False)
        with trial_on(ledger_url, kafka, topic, mlflow_uri, judge_endpoint) as found:
            yield found, url


@pytest.mark.parametrize("fault", FAULTS)
def test_a_postgresql_ledger_that_fails_is_waited_for(trial: tuple[Trial, str], postgres: Postgres, fault: str) -> None:
    """Its sessions thrown out, its tables locked, its server crashed."""
    running_trial, url = trial

    def says_why() -> None:
        if fault != "sessions terminated":
            running_trial.is_away("ledger")

    figures = running_trial.endure(fault.replace(" ", "_"), FAULTS[fault](postgres, url), says_why, hold_s=HOLD_S)
    figures.report(service="ledger", fault=fault, database="postgresql")
