"""The main job on real parts: a mixed stream on three partitions becomes verdicts, records and dead letters."""

import json
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from monitor.config import Config
from tests.acceptance.running_daemon import eventually, patience_for, running

EVENTS = 500
PATIENCE_S = patience_for(EVENTS)
MALFORMED = 50
DISTINCT = 400
TWICE = 50


def configuration(topic: str, kafka: Any, mlflow_uri: str, ledger_url: str, judge_endpoint: Any) -> Config:
    return Config.model_validate(
        {
            "app": "shop",
            "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "group_id": f"group-{topic}"},
            "mlflow": {"tracking_uri": mlflow_uri},
            "ledger": {"url": ledger_url},
            "judge": {"base_url": judge_endpoint.base_url, "api_key": "none", "model": "scripted"},
            "sampling": {"rate": 0.5, "rules": [{"when": {"status": "ERROR"}, "rate": "always"}]},
            "dataset": {"name": "production", "rate": "always"},
            "segments": ["app_version"],
            "scorers": [
                {"name": "short", "use": "AnswerLength", "max_length": 40},
                {"name": "safety", "use": "Safety", "rate": 0.05, "target": 0.5},
            ],
            "pipeline": {"upkeep_every": "1s", "commit_every": "200ms"},
            "http": {"port": 0},
        }
    )


def event(number: int) -> bytes:
    value = {
        "trace_id": f"event-{number}",
        "name": "answer",
        "inputs": {"question": f"question {number % 300}"},
        "outputs": "a short answer" if number % 3 else "an answer that is much longer than forty characters are",
        "status": "ERROR" if number % 50 == 0 else "OK",
        "duration_ms": 12.5,
        "app_version": "v2" if number % 10 == 0 else "v1",
        "retrieved": [{"page_content": "a fact", "doc_uri": "doc://1"}],
    }
    return json.dumps(value).encode()


def malformed(number: int) -> bytes:
    good = json.loads(event(1000 + number))
    kinds: list[bytes] = [
        b"not json at all",
        b"\xff\xfe\x00 not utf-8",
        b"[1, 2, 3]",
        json.dumps({key: value for key, value in good.items() if key != "trace_id"}).encode(),
        json.dumps({key: value for key, value in good.items() if key != "inputs"}).encode(),
        json.dumps({key: value for key, value in good.items() if key != "outputs"}).encode(),
        json.dumps({**good, "trace_id": "x" * 300}).encode(),
        json.dumps({**good, "timestamp_ms": 32_503_680_000_000}).encode(),
        json.dumps({**good, "outputs": float("nan")}).encode(),
        json.dumps({**good, "inputs": {"deep": "DEEP"}}).replace('"DEEP"', "[" * 100 + "]" * 100).encode(),
    ]
    return kinds[number % len(kinds)]


@pytest.fixture(scope="module")
def mixed_events() -> list[bytes]:
    valid = [event(number) for number in range(DISTINCT)]
    events = valid + valid[:TWICE] + [malformed(number) for number in range(MALFORMED)]
    random.Random(7).shuffle(events)
    assert len(events) == EVENTS
    return events


def accounted(ledger: Any) -> dict[str, Counter[str]]:
    by_scorer: dict[str, Counter[str]] = {}
    for row in ledger.positions.accounted():
        by_scorer.setdefault(row.scorer, Counter())[row.outcome] += row.count
    return by_scorer


def test_every_event_of_a_mixed_stream_ends_in_exactly_one_place(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, judge_endpoint: Any, mixed_events: list[bytes]
) -> None:
    """500 events, 50 of them malformed in ten ways, 50 delivered twice: 50 dead letters, the rest once each.

    A redelivery of the whole stream, as after a crash before any commit, changes nothing and asks no judge.
    """
    from mlflow.tracking import MlflowClient

    from consumers.kafka_publish import publish_lines
    from monitor.ledger.ledger import open_ledger

    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    config = configuration(topic, kafka, mlflow_uri, ledger_url, judge_endpoint)
    publish_lines(config.source, mixed_events)
    with running(config) as daemon:
        ledger = open_ledger(ledger_url)
        daemon.eventually(
            lambda: ledger.positions.received() == EVENTS,
            "every event past the watermark",
            patience_s=PATIENCE_S,
        )
        eventually(
            lambda: not ledger.members.unreconciled("production", 1),
            "the dataset in line",
            patience_s=PATIENCE_S,
        )
        eventually(lambda: not ledger.intake.unpublished(1), "every verdict published")
        text = daemon.metrics()
        assert daemon.readiness()[0] == 200

    outcomes = accounted(ledger)
    for scorer in ("short", "safety"):
        assert outcomes[scorer]["dead_lettered"] == MALFORMED
        assert outcomes[scorer].total() == EVENTS
    # A duplicate of a trace that was kept is a duplicate; here the dataset keeps every trace.
    assert outcomes["short"]["duplicates"] == TWICE
    assert ledger.positions.mismatches() == []
    assert len(dead_letters(config)) == MALFORMED
    assert_published_once(MlflowClient(mlflow_uri), ledger, config)
    assert_metrics_are_clean(text)

    asked = judge_endpoint.calls["judge"]
    for partition in range(3):
        ledger.positions.reset(topic, partition, 0)
    rewound = configuration(topic, kafka, mlflow_uri, ledger_url, judge_endpoint)
    source = rewound.source.model_copy(update={"group_id": f"again-{topic}"})
    with running(rewound.model_copy(update={"source": source})) as daemon:
        daemon.eventually(
            lambda: ledger.positions.received() == 2 * EVENTS,
            "every event past the watermark again",
            patience_s=PATIENCE_S,
        )
    assert judge_endpoint.calls["judge"] == asked
    assert accounted(ledger)["short"]["duplicates"] == 2 * TWICE
    assert_published_once(MlflowClient(mlflow_uri), ledger, config)
    ledger.close()


def dead_letters(config: Config) -> set[bytes]:
    from consumers.kafka_source import KafkaSource

    settings = config.source.model_copy(
        update={
            "topic": config.source.dead_letters,
            "group_id": f"reader-{config.source.topic}",
            "dead_letter_topic": "unused",
        }
    )
    source = KafkaSource(settings)
    source.start()
    keys: list[bytes] = []
    try:
        eventually(
            lambda: keys.extend(message.key or b"" for message in source.poll(0.2).messages) or len(keys) >= MALFORMED,
            "dead letters",
        )
        keys.extend(message.key or b"" for message in source.poll(0.5).messages)
    finally:
        source.close()
    assert len(keys) == len(set(keys))
    return set(keys)


def assert_published_once(client: Any, ledger: Any, config: Config) -> None:
    experiment = client.get_experiment_by_name(config.experiment)
    stored = []
    token = None
    while True:
        page = client.search_traces(locations=[experiment.experiment_id], max_results=100, page_token=token)
        stored.extend(page)
        token = page.token
        if not token:
            break
    assert len(stored) == DISTINCT
    published = Counter(
        (trace.info.trace_id, assessment.name) for trace in stored for assessment in trace.info.assessments
    )
    in_ledger = {
        (row.trace_id, row.scorer) for trace in stored for row in ledger.intake.verdicts_of(trace.info.trace_id)
    }
    assert set(published) == in_ledger
    assert set(published.values()) == {1}
    assert {name for _, name in published} == {"short", "safety"}
    assert len({row.inputs_digest for row in ledger.members.active("production")}) == 300
    from monitor.dataset.mlflow_store import MlflowDatasetStore

    rows = MlflowDatasetStore(config.mlflow.tracking_uri, config.experiment, "production").rows()
    assert len(rows) == 300
    assert len({json.dumps(row.inputs) for row in rows}) == 300


def assert_metrics_are_clean(text: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f'tracewatch_events_accounted{{app="shop",outcome="dead_lettered",scorer="short"}} {MALFORMED}.0' in text
