"""The daemon as a member of its consumer group, on a real broker: slow judges, joining replicas, changing topics."""

import json
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from monitor.config import Config
from tests.acceptance.held_endpoint import HeldEndpoint
from tests.acceptance.running_daemon import eventually, running

HELD_S = 14.0
EVENTS = 120


@pytest.fixture
def endpoint() -> Iterator[HeldEndpoint]:
    with HeldEndpoint() as held:
        yield held
        held.answers.set()


def configuration(topic: str, kafka: Any, tracking_uri: str, ledger_url: str, endpoint: Any, **source: Any) -> Config:
    return Config.model_validate(
        {
            "app": topic,
            "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "heartbeat_interval": "200ms"}
            | source,
            "mlflow": {"tracking_uri": tracking_uri},
            "ledger": {"url": ledger_url},
            "judge": {"base_url": endpoint.base_url, "api_key": "none", "model": "scripted", "timeout": "120s"},
            "sampling": {"rate": "always"},
            "dataset": None,
            "scorers": [{"name": "safety", "use": "Safety"}],
            "pipeline": {"commit_every": "100ms", "max_events_in_flight": 6, "workers": 2, "shutdown_deadline": "30s"},
            "http": {"port": 0},
        }
    )


def events(count: int, first: int = 0) -> list[bytes]:
    return [
        json.dumps({"trace_id": f"e{number}", "inputs": {"question": f"q{number}"}, "outputs": "an answer"}).encode()
        for number in range(first, first + count)
    ]


def lag(daemon: Any) -> float:
    lines = [line for line in daemon.metrics().splitlines() if line.startswith("tracewatch_consumer_lag{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_a_judge_that_takes_longer_than_the_group_would_wait_costs_no_rebalance(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, endpoint: HeldEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """Far beyond session timeout and poll interval: same member, same assignment, paused, with a lag that grows."""
    from kafka import KafkaAdminClient

    from consumers.kafka_publish import publish_lines
    from monitor.ledger.ledger import open_ledger

    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    patience = {"session_timeout": "5s", "max_poll_interval": "6s"}
    config = configuration(topic, kafka, mlflow_uri, ledger_url, endpoint, **patience)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)

    def group() -> list[tuple[str, str]]:
        described = admin.describe_groups([topic])[topic]
        assert described["group_state"] == "Stable", described
        return [(member["member_id"], str(member["member_assignment"])) for member in described["members"]]

    publish_lines(config.source, events(60))
    with running(config) as daemon:
        daemon.eventually(lambda: endpoint.asked == 2, "both workers wait for the judge")
        daemon.eventually(lambda: lag(daemon) == 0, "all is polled and the partitions are paused")
        caplog.set_level(logging.INFO, logger="kafka")
        before = group()
        assert len(before) == 1
        publish_lines(config.source, events(40, first=60))
        daemon.eventually(lambda: lag(daemon) == 40, "the lag of the paused partitions is true")
        until_s = time.monotonic() + HELD_S
        while time.monotonic() < until_s:
            assert group() == before
        assert endpoint.asked == 2
        assert [record.message for record in caplog.records if "joining group" in record.message] == []
        endpoint.answers.set()
        ledger = open_ledger(ledger_url)
        daemon.eventually(lambda: ledger.positions.received() == 100, "every event past the watermark")
    admin.close()
    assert endpoint.calls["judge"] == 100
    assert ledger.positions.mismatches() == []
    ledger.close()


def test_replicas_that_join_and_leave_under_load_repeat_no_judge_call(
    kafka: Any, topic: str, mlflow_server: str, postgres_ledger_url: str, endpoint: HeldEndpoint
) -> None:
    """Each hand-over finishes what is at the judge and commits it: calls == events, no duplicate, nobody is fenced."""
    from consumers.kafka_publish import publish_lines
    from monitor.ledger.ledger import open_ledger

    endpoint.answers.set()
    endpoint.latency_s = 0.05
    config = configuration(topic, kafka, mlflow_server, postgres_ledger_url, endpoint)
    # On a busy machine what is at the judge takes longer than the default.
    patient = config.pipeline.model_copy(update={"revocation_deadline": timedelta(seconds=60)})
    config = config.model_copy(update={"pipeline": patient})
    publish_lines(config.source, events(EVENTS))
    ledger = open_ledger(postgres_ledger_url)

    def past(share: float) -> bool:
        return ledger.positions.received() >= share * EVENTS

    captured = structlog.testing.LogCapture()
    log = structlog.wrap_logger(
        None, processors=[captured], wrapper_class=structlog.make_filtering_bound_logger(logging.INFO)
    )
    logs = captured.entries
    with running(config, log=log) as first:
        first.eventually(lambda: past(0.1), "a tenth is done")
        with running(config, log=log) as second:
            first.eventually(lambda: handed_over(logs) >= 1, "the second has partitions")
            with running(config, log=log) as third:
                third.eventually(lambda: handed_over(logs) >= 2, "the third has partitions")
                third.eventually(lambda: past(0.5), "half is done")
            second.eventually(lambda: past(0.75), "three quarters are done")
        first.eventually(lambda: past(1), "every event past the watermark")
    said = [entry["event"] for entry in logs]
    assert "another owner moved the watermark" not in said
    assert "handed over unfinished" not in said
    assert endpoint.calls["judge"] == EVENTS
    assert {row.outcome: row.count for row in ledger.positions.accounted()} == {"scored": EVENTS}
    ledger.close()


def handed_over(logs: list[Any]) -> int:
    return sum(entry["event"] == "partition revoked" for entry in list(logs))


def test_a_topic_made_anew_under_a_running_daemon_ends_it_with_the_command_to_use(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, endpoint: HeldEndpoint
) -> None:
    """Otherwise the first new events would pass for events that were judged long ago."""
    from kafka import KafkaAdminClient

    from consumers.kafka_publish import publish_lines
    from monitor.ledger.ledger import open_ledger
    from monitor.pipeline.watermarks import PositionBeyondEnd

    endpoint.answers.set()
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = configuration(topic, kafka, mlflow_uri, ledger_url, endpoint)
    publish_lines(config.source, events(9))
    ledger = open_ledger(ledger_url)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)

    def live() -> None:
        with running(config) as daemon:
            daemon.eventually(lambda: ledger.positions.received() == 9, "every event past the watermark")
            admin.delete_topics([topic])
            eventually(lambda: topic not in admin.list_topics(), "the topic is gone")
            kafka.create_topic(topic, 3)
            publish_lines(config.source, events(3, first=100))
            eventually(lambda: not daemon.thread.is_alive(), "the daemon ends")

    with pytest.raises(PositionBeyondEnd, match="`tracewatch reset -c FILE --to beginning`"):
        live()
    admin.close()
    assert ledger.positions.received() == 9
    ledger.close()


def test_events_that_retention_deletes_while_their_partition_is_paused_are_counted_as_lost(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, endpoint: HeldEndpoint
) -> None:
    """The judge hangs, the partition is paused, and the broker deletes what was not read: the number is known."""
    from kafka import KafkaAdminClient, TopicPartition

    from consumers.kafka_publish import publish_lines
    from monitor.ledger.ledger import open_ledger

    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = configuration(topic, kafka, mlflow_uri, ledger_url, endpoint, max_poll_records=10, fetch_bytes=1000)
    ledger = open_ledger(ledger_url)
    with running(config) as daemon:
        publish_lines(config.source, events(30))
        daemon.eventually(lambda: endpoint.asked == 2, "both workers wait for the judge")
        publish_lines(config.source, events(300, first=30))
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        ends = admin.list_partition_offsets({TopicPartition(topic, number): -1 for number in range(3)})
        admin.delete_records({tp: end.offset - 5 for tp, end in ends.items()})
        admin.close()
        endpoint.answers.set()
        daemon.eventually(lambda: accounted_for(ledger) == 330, "every event is read or lost")
    lost = sum(row.lost for row in ledger.positions.all())
    # How many had been fetched before is the client's business; that none of them is lost is the next line's.
    assert 100 < lost < 330
    assert endpoint.calls["judge"] == 330 - lost
    assert ledger.positions.mismatches() == []
    ledger.close()


def accounted_for(ledger: Any) -> int:
    return sum(row.received + row.lost for row in ledger.positions.all())
