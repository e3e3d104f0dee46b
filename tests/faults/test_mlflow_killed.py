"""MLflow's server killed under load, and started again on what its store then holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from monitor.ledger.ledger import open_ledger
from tests.acceptance.running_daemon import running
from tests.faults.extent import choose
from tests.faults.trial import Trial, fault_config

AWAY_S = choose(short=5.0, full=60.0)


def test_an_mlflow_that_is_killed_and_comes_back_has_everything_once(
    kafka: Any, topic: str, mlflow_server_process: Any, tmp_path: Any, judge_endpoint: Any, monkeypatch: Any
) -> None:
    """Every event has one trace and one assessment a scorer there, and one verdict a scorer in the ledger."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = mlflow_server_process
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = fault_config(kafka.bootstrap_servers, topic, server.uri, ledger_url, judge_endpoint.base_url)

    @contextmanager
    def killed() -> Iterator[None]:
        server.kill()
        try:
            yield
        finally:
            server.start()

    with running(config) as daemon:
        ledger = open_ledger(ledger_url)
        trial = Trial(
            daemon=daemon, app=topic, source=config.source, ledger=ledger, mlflow_uri=server.uri, judge=judge_endpoint
        )
        figures = trial.endure("killed", killed(), lambda: trial.is_away("mlflow"), hold_s=AWAY_S, per_second=3.0)
        rows = {row.scorer: row.count for row in ledger.figures.verdict_counts() if row.segment == "all"}
        ledger.close()
    assert set(rows.values()) == {figures.events}
    figures.report(service="mlflow", fault="killed", away_s=AWAY_S)
