"""What a daemon writes about a stream with trouble in it: what matters, a line each, and no text of a trace."""

import json
from pathlib import Path
from typing import Any

from consumers.kafka_publish import publish_lines
from consumers.settings import SourceSettings
from monitor.ledger.ledger import open_ledger
from tests.acceptance.daemon_process import daemon_process
from tests.acceptance.running_daemon import eventually

CUSTOMER = "Mrs. Ottoline Vandermeer owes 4711 euros"
EVENTS = 6


def _event(number: int) -> bytes:
    return json.dumps(
        {"trace_id": f"t-{number}", "inputs": {"q": f"{CUSTOMER} {number}"}, "outputs": CUSTOMER}
    ).encode()


def test_each_event_that_matters_is_a_line_with_its_trace_and_scorer_and_without_text(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, judge_endpoint: Any
) -> None:
    """A dead letter, a scorer that fails and quotes the trace, a judge that answers garbage for a while, an alert."""
    source = {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "dead_letter_topic": f"{topic}.dead-letter"}
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = {
        "app": "shop",
        "source": source,
        "mlflow": {"tracking_uri": mlflow_uri},
        "ledger": {"url": ledger_url},
        "judge": {"base_url": judge_endpoint.base_url, "api_key": "none", "model": "scripted", "retries": 0},
        "sampling": {"rate": "always"},
        "dataset": {"name": "production", "rate": "always"},
        "scorers": [
            {"name": "refuses", "use": "tests.acceptance.refusing_scorer:refuses"},
            {"name": "safety", "use": "Safety"},
        ],
        "dead_letters": {"hold": "0s"},
        "pipeline": {"upkeep_every": "1s", "commit_every": "200ms"},
        "http": {"port": 0},
    }
    lines = [_event(number) for number in range(EVENTS)] + [f'{{"trace_id": "cut", "inputs": "{CUSTOMER}'.encode()]
    with daemon_process(config, tmp_path) as daemon:
        daemon.ready()
        ledger = open_ledger(ledger_url)
        # What came before the first look for alerts is nobody's news.
        eventually(lambda: "alerts" in {each.job for each in ledger.jobs.all()}, "somebody looks for alerts")
        judge_endpoint.fail("truncated", times=2)
        publish_lines(SourceSettings.model_validate(source), lines)
        eventually(lambda: ledger.positions.received() == len(lines), "all are past the watermark")
        eventually(lambda: "alert firing" in daemon.log, "the dead letter is an alert")
        ledger.close()
        daemon.process.terminate()
        assert daemon.process.wait(60) == 0
    log = daemon.log

    assert CUSTOMER not in log
    assert "Ottoline" not in log
    said = [json.loads(line) for line in log.splitlines()]
    by_message: dict[str, list[dict[str, Any]]] = {}
    for each in said:
        by_message.setdefault(each["message"], []).append(each)
    [start] = by_message["daemon starts"]
    assert (start["app"], start["topic"]) == ("shop", topic)
    failures = by_message["no verdict: the scorer failed"]
    assert len({each["trace_id"] for each in failures}) == EVENTS
    assert {each["scorer"] for each in failures} == {"refuses"}
    [letter] = by_message["dead letter"]
    assert letter["position"].startswith(topic)
    assert any(each["dependency"] == "judge" and each["trace_id"] for each in by_message["waiting for a service"])
    assert {"scorer", "segment", "kind"} <= set(by_message["alert firing"][0])
    assert by_message["stopped"]
