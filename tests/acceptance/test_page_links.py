"""The daemon's status page leads to where people reach MLflow, which may not be where the daemon does."""

from pathlib import Path

from monitor.config import Config
from tests.acceptance.running_daemon import running


def test_the_page_leads_to_mlflow_where_the_links_of_alerts_do(mlflow_uri: str, tmp_path: Path) -> None:
    """In a container network the tracking URI is a name that no browser knows."""
    (tmp_path / "events.jsonl").write_text("")
    config = Config.model_validate(
        {
            "app": "shop",
            "source": {"kind": "file", "path": str(tmp_path / "events.jsonl")},
            "mlflow": {"tracking_uri": mlflow_uri},
            "ledger": {"url": f"sqlite:///{tmp_path / 'ledger.db'}"},
            "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 9}],
            "alerts": {"links": {"mlflow": "https://mlflow.example:8443/base"}},
            "http": {"port": 0},
        }
    )
    with running(config) as daemon:
        daemon.eventually(lambda: daemon.readiness()[0] == 200, "the daemon is ready")
        link = 'href="https://mlflow.example:8443/base/#/experiments/'
        daemon.eventually(lambda: link in daemon.http.get(daemon.address).text, "the link is shown", patience_s=20)
