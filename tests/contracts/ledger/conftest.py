"""A fresh ledger for each test, on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import pytest

from monitor.ledger import Ledger, open_ledger


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
