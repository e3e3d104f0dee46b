"""Opening, migrating, and a database that is away."""

from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from monitor.errors import ServiceUnavailable
from monitor.ledger import Ledger, LedgerAddressError, LedgerUnavailable, RetentionSettings, open_ledger
from monitor.ledger.revisions import VERSION_TABLE, current_revision
from monitor.ledger.schema import metadata


def test_the_revisions_make_the_very_schema_that_the_code_uses(ledger: Ledger) -> None:
    """Alembic finds no difference between the migrated database and the tables in the code, indexes included."""
    with ledger.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        indexes = {
            index["name"] for table in metadata.tables for index in sqlalchemy.inspect(connection).get_indexes(table)
        }
    assert indexes >= {str(index.name) for table in metadata.tables.values() for index in table.indexes}


def test_what_is_in_the_ledger_survives_reopening(ledger: Ledger, ledger_url: str) -> None:
    """A second start migrates nothing away."""
    ledger.positions.open("traces", 0, 42)
    again = open_ledger(ledger_url)
    assert again.positions.read("traces", 0) == 42
    again.probe()
    again.close()


def test_an_error_that_nobody_expects_quotes_no_row(ledger: Ledger) -> None:
    """Its words are logged, and rows hold rationales and inputs."""
    with pytest.raises(sqlalchemy.exc.DBAPIError) as caught, ledger.database.engine.connect() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO nowhere VALUES (:text)"), {"text": "a customer's text"})
    assert "customer" not in str(caught.value)


def test_a_database_of_a_newer_version_is_left_as_it_is(ledger: Ledger, ledger_url: str) -> None:
    """Versions N and N-1 run side by side: an unknown revision is neither an error nor changed."""
    with ledger.database.write() as connection:
        connection.exec_driver_sql("UPDATE tracewatch_version SET version_num = '9999'")
    older = open_ledger(ledger_url)
    older.positions.open("traces", 0, 1)
    with older.database.read() as connection:
        assert current_revision(connection) == "9999"
    older.close()


def test_a_failure_in_a_transaction_leaves_nothing_behind(ledger: Ledger) -> None:
    """What was written before an error of any kind is undone."""

    def write_and_fail() -> None:
        with ledger.database.write() as connection:
            connection.exec_driver_sql("INSERT INTO tracewatch_jobs (job) VALUES ('x')")
            raise KeyError("x")

    with pytest.raises(KeyError):
        write_and_fail()
    assert ledger.jobs.all() == []


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name", "oracle://x"])
def test_an_address_of_no_ledger_is_refused(url: str) -> None:
    """What is allowed is said."""
    with pytest.raises(LedgerAddressError, match="sqlite"):
        open_ledger(url)


def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """No folder, no database file, nobody listening: each is said as something to wait for, with its cause."""
    damaged = tmp_path / "damaged.db"
    damaged.write_text("this is no database at all, but it is long enough to be read as one" * 20)
    away = {
        f"sqlite:///{tmp_path}/missing/ledger.db": "unable to open",
        f"sqlite:///{damaged}": "not a database",
        "postgresql://user:hidden-word@127.0.0.1:1/name": "refused",
    }
    for url, cause in away.items():
        with pytest.raises(LedgerUnavailable, match=cause) as caught:
            open_ledger(url)
        assert isinstance(caught.value, ServiceUnavailable)
        assert "hidden-word" not in str(caught.value)


def test_a_connection_that_was_cut_is_made_anew(postgres_url: str) -> None:
    """After the server drops every connection the ledger answers again without being reopened."""
    ledger = open_ledger(postgres_url)
    ledger.probe()
    admin = sqlalchemy.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.pool.NullPool)
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'postgres'"
    )

    def terminate() -> None:
        with admin.connect() as connection:
            connection.exec_driver_sql(cut)

    terminate()
    ledger.probe()

    def write_while_cut() -> None:
        with ledger.database.write() as connection:
            terminate()
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(LedgerUnavailable):
        write_while_cut()
    ledger.probe()
    ledger.close()


def test_reads_use_their_indexes(tmp_path: Path) -> None:
    """The parked and the unpublished are found through the small partial indexes, not by reading every row."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'plans.db'}")
    plans = []

    def explain(_conn, cursor, statement, parameters, _context, _many) -> None:
        if statement.startswith(("SELECT", "DELETE")):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append(" ".join(str(row[3]) for row in cursor.fetchall()))

    sqlalchemy.event.listen(ledger.database.engine, "before_cursor_execute", explain)
    ledger.intake.parked(5, newest_first=True)
    ledger.intake.unpublished(5)
    ledger.figures.pass_rates(5)
    ledger.members.unreconciled("production", 5)
    ledger.members.active("production")
    ledger.retention.prune(RetentionSettings(), 0)
    ledger.close()
    used = "\n".join(plans)
    for name in (
        "traces_event_time",
        "decisions_parked",
        "verdicts_unpublished",
        "verdicts_event_time",
        "members_unreconciled",
        "members_active",
    ):
        assert f"tracewatch_{name}" in used
