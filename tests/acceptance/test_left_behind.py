"""A daemon whose ledger a newer release has migrated further than it can follow."""

from datetime import timedelta
from pathlib import Path

import pytest

from monitor.config import Config
from monitor.daemon import duties
from tests.acceptance.running_daemon import eventually, running


def test_a_daemon_that_a_migration_left_behind_ends_with_the_reason(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops by itself, in order, and its error names both revisions."""
    from monitor.ledger import LedgerTooNew, open_ledger
    from monitor.ledger.revisions import OURS

    monkeypatch.setattr(duties, "_SIGN_EVERY", timedelta(milliseconds=200))
    (tmp_path / "events.jsonl").write_text("")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = Config.model_validate(
        {
            "app": "shop",
            "source": {"kind": "file", "path": str(tmp_path / "events.jsonl")},
            "mlflow": {"tracking_uri": mlflow_uri},
            "ledger": {"url": url},
            "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 40}],
            "http": {"port": 0},
        }
    )
    words = f"works with revision 9999 and newer; this is Tracewatch .* with revision {OURS.head}"
    with pytest.raises(LedgerTooNew, match=words), running(config) as daemon:  # noqa: PT012 - it ends within
        daemon.eventually(lambda: daemon.readiness()[0] == 200, "ready")
        ledger = open_ledger(url)
        with ledger.database.write() as connection:
            connection.exec_driver_sql("UPDATE tracewatch_compatibility SET works_from = '9999'")
        eventually(lambda: not daemon.thread.is_alive(), "the daemon has ended")
        assert ledger.replicas.seen_since(0) == []
        ledger.close()
