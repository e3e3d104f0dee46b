"""Signs of life, and what becomes of a replica that a migration has left behind."""

import threading
from pathlib import Path

import pytest
import structlog

from monitor.clock import ManualClock
from monitor.ledger import Ledger, LedgerTooNew, open_ledger
from monitor.ledger.revisions import OURS
from monitor.replica.presence import Presence


@pytest.fixture
def ledger(tmp_path: Path):
    """A ledger on SQLite."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


def migrate_away(ledger: Ledger) -> None:
    """As a release to come would, which takes away what this one needs."""
    with ledger.database.write() as connection:
        connection.exec_driver_sql("UPDATE tracewatch_compatibility SET works_from = '9999'")


def test_a_replica_is_listed_while_it_runs(ledger: Ledger) -> None:
    """From its first sign to its end, with the time of the last sign."""
    clock, stop = ManualClock(1_000), threading.Event()
    presence = Presence(ledger.replicas, "shop-1:7", clock, stop, structlog.get_logger())
    presence.begin()
    clock.set(5_000)
    presence.beat()
    (row,) = ledger.replicas.seen_since(5_000)
    assert (row.holder, row.revision, row.started_ms, row.seen_ms) == ("shop-1:7", OURS.head, 1_000, 5_000)
    presence.end()
    assert ledger.replicas.seen_since(0) == []
    assert not stop.is_set()


def test_a_replica_that_a_migration_left_behind_stops(ledger: Ledger) -> None:
    """It does not begin; one that had begun is told to stop, with the reason at hand."""
    stop = threading.Event()
    presence = Presence(ledger.replicas, "shop-1:7", ManualClock(), stop, structlog.get_logger())
    presence.begin()
    migrate_away(ledger)
    with pytest.raises(LedgerTooNew, match="works with revision 9999 and newer; this is Tracewatch"):
        presence.begin()
    assert not stop.is_set()
    presence.beat()
    assert stop.is_set()
    assert presence.refusal is not None


def test_a_ledger_that_is_away_is_no_reason_to_stop(tmp_path: Path) -> None:
    """A sign that is not heard is given again later."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    stop = threading.Event()
    presence = Presence(opened.replicas, "shop-1:7", ManualClock(), stop, structlog.get_logger())
    opened.close()
    (tmp_path / "ledger.db").write_bytes(b"no database" * 100)
    presence.beat()
    presence.end()
    assert not stop.is_set()
    assert presence.refusal is None
