"""An invalid message while its dead letter has nowhere to go: the watermark waits for it, and it is counted once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from consumers.kafka_archive import read_topic
from consumers.kafka_publish import publish_lines
from consumers.settings import SourceSettings
from monitor.ledger.ledger import open_ledger
from tests.acceptance.running_daemon import running
from tests.faults.event_load import event
from tests.faults.extent import choose
from tests.faults.fault_figures import FaultFigures
from tests.faults.pauses import hold
from tests.faults.trial import SCORERS, Trial, assessments_of, fault_config
from tests.patient_source import patient

HOLD_S = choose(short=0.5, full=20.0)
VALID = 6


@contextmanager
def admin_of(kafka: Any) -> Iterator[Any]:
    from kafka import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    yield admin
    admin.close()


def test_the_watermark_waits_for_a_dead_letter_that_cannot_be_delivered(
    kafka: Any, mlflow_uri: str, judge_endpoint: Any, tmp_path: Path
) -> None:
    """First the cluster refuses to make the topic, then the topic is deleted: each time it is delivered afterwards."""
    topic, letters, rival = "letters-away", "letters-away.dead.letter", "letters-away.dead_letter"
    kafka.create_topic(topic, 1)
    # Kafka makes no topic whose name differs from another's in dots and underscores alone.
    kafka.create_topic(rival, 1)
    ledger_url = f"sqlite:///{tmp_path / 'ledger.db'}"
    source = {"dead_letter_topic": letters}
    config = fault_config(
        kafka.bootstrap_servers, topic, mlflow_uri, ledger_url, judge_endpoint.base_url, source=source
    )
    judged_before = judge_endpoint.calls["judge"]
    with running(config) as daemon, admin_of(kafka) as admin:
        ledger = open_ledger(ledger_url)
        trial = Trial(
            daemon=daemon, app=topic, source=config.source, ledger=ledger, mlflow_uri=mlflow_uri, judge=judge_endpoint
        )

        def verdicts() -> int:
            return sum(row.count for row in ledger.figures.verdict_counts() if row.segment == "all")

        _publish(config.source, 0)
        daemon.eventually(lambda: verdicts() == VALID * len(SCORERS), "the events around it have their verdicts")
        daemon.eventually(lambda: trial.received() == VALID // 2, "what comes before it is past the watermark")
        with hold(HOLD_S):
            trial.is_away("kafka")
        assert trial.received() == VALID // 2
        admin.delete_topics([rival])
        trial.settled(VALID + 1)

        admin.delete_topics([letters])
        kafka.create_topic(rival, 1)
        _publish(config.source, 1)
        daemon.eventually(lambda: verdicts() == 2 * VALID * len(SCORERS), "the events around it have their verdicts")
        daemon.eventually(lambda: trial.received() == VALID + 1 + VALID // 2, "so is what comes before the second")
        with hold(HOLD_S):
            trial.is_away("kafka")
        assert trial.received() == VALID + 1 + VALID // 2
        over_s = monotonic()
        admin.delete_topics([rival])
        trial.settled(2 * (VALID + 1))
        recovered_s = monotonic() - over_s
        outcomes = {(row.scorer, row.outcome): row.count for row in ledger.positions.accounted()}
        assert ledger.positions.mismatches() == []
        ledger.close()
    assert outcomes == {
        (scorer, outcome): count
        for scorer in SCORERS
        for outcome, count in (("scored", 2 * VALID), ("dead_lettered", 2))
    }
    delivered = [letter.key for letter in read_topic(patient(config.source), letters)]
    assert len(set(delivered)) == 1
    FaultFigures.of(
        [f"valid-{number}" for number in range(2 * VALID)],
        assessments_of(mlflow_uri, topic, "valid"),
        SCORERS,
        judge_calls=judge_endpoint.calls["judge"] - judged_before,
        recovered_s=recovered_s,
    ).report(service="kafka", fault="dead-letter topic refused and deleted", letters_repeated=len(delivered) - 1)


def _publish(source: SourceSettings, stretch: int) -> None:
    """Valid events with an invalid one in their middle."""
    numbers = range(stretch * VALID, (stretch + 1) * VALID)
    lines = [event(f"valid-{number}") for number in numbers]
    lines.insert(VALID // 2, b"no trace event")
    publish_lines(source, lines)
