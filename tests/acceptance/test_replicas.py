"""Two replicas of the daemon in one group, on PostgreSQL and an MLflow server."""

import json
from typing import Any

from monitor.config import Config
from tests.acceptance.running_daemon import running

EVENTS = 120


def configuration(topic: str, kafka: Any, tracking_uri: str, ledger_url: str, judge_endpoint: Any) -> Config:
    return Config.model_validate(
        {
            "app": topic,
            "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic},
            "mlflow": {"tracking_uri": tracking_uri},
            "ledger": {"url": ledger_url},
            "judge": {"base_url": judge_endpoint.base_url, "api_key": "none", "model": "scripted"},
            "sampling": {"rate": "always"},
            "dataset": {"name": topic, "rate": 0.25},
            "scorers": [
                {"name": "short", "use": "AnswerLength", "max_length": 40},
                {"name": "safety", "use": "Safety", "rate": 0.2},
            ],
            "pipeline": {"upkeep_every": "1s", "commit_every": "200ms"},
            "http": {"port": 0},
        }
    )


def event(number: int) -> bytes:
    value = {"trace_id": f"replicated-{number}", "inputs": {"question": f"q{number}"}, "outputs": "an answer"}
    return json.dumps(value).encode()


def test_two_replicas_share_the_partitions_and_double_nothing(
    kafka: Any, topic: str, mlflow_server: str, postgres_ledger_url: str, judge_endpoint: Any
) -> None:
    """Every event is accounted for once, both replicas take part, one of them holds the lease."""
    from consumers.kafka_publish import publish_lines
    from monitor.ledger.ledger import open_ledger
    from monitor.replica.leadership import LEASE_NAME

    config = configuration(topic, kafka, mlflow_server, postgres_ledger_url, judge_endpoint)
    with running(config) as first, running(config) as second:

        def partitions(daemon: Any) -> int:
            return daemon.metrics().count(f'tracewatch_consumer_lag{{app="{topic}"')

        first.eventually(
            lambda: partitions(first) and partitions(second) and partitions(first) + partitions(second) == 3,
            "each replica has partitions",
        )
        publish_lines(config.source, [event(number) for number in range(EVENTS)])
        ledger = open_ledger(postgres_ledger_url)
        first.eventually(lambda: ledger.positions.received() == EVENTS, "every event past the watermark")
        first.eventually(lambda: not ledger.members.unreconciled(topic, 1), "the dataset in line")
        consumed = [consumed_by(daemon.metrics()) for daemon in (first, second)]
        assert ledger.lease.acquire(LEASE_NAME, "a third", 1.0, 0) is None

    assert sum(consumed) == EVENTS
    assert min(consumed) > 0
    scored = {row.scorer: row.count for row in ledger.positions.accounted() if row.outcome == "scored"}
    assert scored["short"] == EVENTS
    verdicts = {row.scorer: row.count for row in ledger.figures.verdict_counts() if row.segment == "all"}
    assert verdicts == scored
    assert ledger.positions.mismatches() == []
    ledger.close()


def consumed_by(metrics: str) -> int:
    lines = [line for line in metrics.splitlines() if line.startswith("tracewatch_events_consumed_total{")]
    return round(sum(float(line.rpartition(" ")[2]) for line in lines))
