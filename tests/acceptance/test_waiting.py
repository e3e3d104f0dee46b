"""Services that are away when the daemon starts: it waits, says why, and goes on when they come."""

import json
import time
from pathlib import Path
from typing import Any

from webhook_receiver import WebhookReceiver

from monitor.config import Config
from tests.acceptance.running_daemon import running


def test_a_daemon_without_its_judge_waits_says_so_and_goes_on(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path
) -> None:
    """Not ready while the endpoint is away, with the cause; every event is judged after it came."""
    from consumers.kafka_publish import publish_lines
    from monitor.demo.scripted_endpoint import ScriptedEndpoint
    from monitor.ledger.ledger import open_ledger

    endpoint = ScriptedEndpoint()
    endpoint.start()
    endpoint.stop()
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = Config.model_validate(
        {
            "app": "shop",
            "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "group_id": topic},
            "mlflow": {"tracking_uri": mlflow_uri},
            "ledger": {"url": ledger_url},
            "judge": {"base_url": endpoint.base_url, "api_key": "none", "model": "scripted", "retries": 0},
            "sampling": {"rate": "always"},
            "scorers": [{"name": "safety", "use": "Safety"}],
            "pipeline": {"commit_every": "200ms", "retry_up_to": "500ms"},
            "http": {"port": 0},
        }
    )
    event = {"trace_id": "one", "inputs": {"question": "q"}, "outputs": "an answer"}
    publish_lines(config.source, [json.dumps(event).encode()])
    with running(config) as daemon:

        def judge() -> dict[str, Any]:
            state: dict[str, Any] = daemon.readiness()[1]["dependencies"]["judge"]
            return state

        daemon.eventually(lambda: "refused" in judge()["cause"].lower(), "the cause is known")
        assert daemon.readiness()[0] == 503
        endpoint.start()
        try:
            daemon.eventually(lambda: daemon.readiness()[0] == 200, "ready")
            ledger = open_ledger(ledger_url)
            daemon.eventually(lambda: ledger.positions.received() == 1, "the event past the watermark")
            endpoint.stop()
            publish_lines(config.source, [json.dumps({**event, "trace_id": "two"}).encode()])
            daemon.eventually(lambda: not judge()["up"], "the outage is known")
            assert ledger.positions.received() == 1
            endpoint.start()
            daemon.eventually(lambda: ledger.positions.received() == 2, "the second event past the watermark")
        finally:
            endpoint.stop()
    assert [row.label for row in ledger.figures.verdict_counts() if row.segment == "all"] != ["error"]
    ledger.close()


def test_a_daemon_that_waits_at_its_start_is_scraped_and_names_what_it_waits_for(tmp_path: Path) -> None:
    """Its process is there for Prometheus, which must not call it absent; of services not asked yet it says nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = Config.model_validate(
        {
            "app": "shop",
            "source": {"topic": "traces"},
            "mlflow": {"tracking_uri": f"http://127.0.0.1:{port}"},
            "ledger": {"url": f"sqlite:///{tmp_path / 'ledger.db'}"},
            "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 40}],
            "pipeline": {"retry_up_to": "500ms"},
            "http": {"port": 0},
        }
    )
    waits = 'tracewatch_dependency_up{app="shop",dependency="mlflow"} 0.0'
    with running(config) as daemon:
        daemon.eventually(lambda: waits in daemon.metrics(), "MLflow is waited for")
        metrics = daemon.metrics()
    assert 'tracewatch_dependency_up{app="shop",dependency="ledger"} 1.0' in metrics
    assert 'dependency="kafka"' not in metrics
    assert 'tracewatch_build_info{app="shop",' in metrics
    assert 'tracewatch_verdicts_total{app="shop",scorer="short",segment="all",verdict="fail"} 0.0' in metrics


def test_a_daemon_without_its_broker_waits_says_so_and_stops_when_told(mlflow_uri: str, tmp_path: Path) -> None:
    """Not ready, with the cause, and the end of the block stops it although the broker never came."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = Config.model_validate(
        {
            "app": "shop",
            "source": {"bootstrap_servers": f"127.0.0.1:{port}", "connect_timeout": "1s"},
            "mlflow": {"tracking_uri": mlflow_uri},
            "ledger": {"url": f"sqlite:///{tmp_path / 'ledger.db'}"},
            "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 40}],
            "http": {"port": 0},
        }
    )
    with running(config) as daemon:

        def kafka_cause() -> str:
            return str(daemon.readiness()[1]["dependencies"]["kafka"]["cause"])

        daemon.eventually(lambda: str(port) in kafka_cause(), "the cause names the broker")
        status, body = daemon.readiness()
        assert status == 503
        assert body["dependencies"]["ledger"]["up"]
        assert body["dependencies"]["judge"]["up"]


def test_a_daemon_that_waits_for_its_judge_tells_and_shows_what_fires(mlflow_uri: str, tmp_path: Path) -> None:
    """What fires goes on firing while the judge is away, also for a restarted daemon; it stops when told to."""
    from monitor.ledger import AlertRow, open_ledger

    ledger_url, now_ms = f"sqlite:///{tmp_path / 'ledger.db'}", time.time_ns() // 1_000_000
    ledger = open_ledger(ledger_url)
    fires = AlertRow(
        id="before",
        kind="unknown",
        scorer="safety",
        segment="all",
        state="firing",
        severity="ticket",
        since_ms=now_ms - 60_000,
        fired_ms=now_ms - 60_000,
    )
    ledger.alerts.save(fires, None)
    (tmp_path / "events.jsonl").write_text("")
    with WebhookReceiver() as webhook:
        config = Config.model_validate(
            {
                "app": "shop",
                "source": {"kind": "file", "path": str(tmp_path / "events.jsonl")},
                "mlflow": {"tracking_uri": mlflow_uri},
                "ledger": {"url": ledger_url},
                "judge": {"base_url": "http://127.0.0.1:1/v1", "api_key": "none", "model": "scripted", "retries": 0},
                "scorers": [{"name": "safety", "use": "Safety"}],
                "dataset": None,
                "alerts": {"receivers": [{"name": "ops", "kind": "webhook", "url": webhook.address}]},
                "pipeline": {"retry_up_to": "500ms", "upkeep_every": "200ms"},
                "http": {"port": 0},
            }
        )
        shown = 'tracewatch_alert_firing{app="shop",kind="unknown",scorer="safety",segment="all"'
        with running(config) as daemon:
            daemon.eventually(lambda: webhook.accepted, "the alert is told")
            daemon.eventually(lambda: shown in daemon.metrics(), "the alert is shown")
            assert not daemon.readiness()[1]["dependencies"]["judge"]["up"]
            # What asks the judge waits for it.
            assert "parked" not in {each.job for each in ledger.jobs.all()}
    assert webhook.accepted[0].json["alert"]["id"] == "before"
    ledger.close()
