"""The positions of a topic set anew, on a real daemon and a real Kafka."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from consumers.kafka_archive import bounds_of
from consumers.kafka_groups import active_members, committed_offsets
from consumers.kafka_publish import publish_lines
from consumers.messages import TopicPartition
from monitor.cli import app
from monitor.commands.reset import ResetRefused, plan_reset
from monitor.config import Config
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.pipeline.watermarks import PositionBeyondEnd
from tests.acceptance.running_daemon import eventually, running
from tests.acceptance.test_replay import event, outcomes, settings_of, verdicts


def invoke(folder: Path, settings: dict[str, Any], *arguments: str) -> Result:
    path = folder / "tracewatch.yaml"
    path.write_text(yaml.safe_dump(settings))
    return CliRunner().invoke(app, ["reset", "-c", str(path), *arguments])


def stands(settings: dict[str, Any], ledger: Ledger) -> list[tuple[int | None, int | None]]:
    """Of each partition, the ledger's position and Kafka's."""
    source = Config.model_validate(settings).source
    places = [TopicPartition(source.topic, number) for number in range(3)]
    committed = committed_offsets(source.connection(), source.group_id or "", places)
    return [(ledger.positions.read(*place), committed.get(place)) for place in places]


def test_a_topic_made_anew_is_consumed_after_a_reset(kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path) -> None:
    """The daemon refuses a position beyond the end; after the reset it goes on, and every count stays true."""
    settings = settings_of(kafka, topic, mlflow_uri, tmp_path)
    config = Config.model_validate(settings)
    ledger = open_ledger(settings["ledger"]["url"])
    publish_lines(config.source, [event(number, 10) for number in range(30)])
    with running(config) as daemon:
        daemon.eventually(lambda: ledger.positions.received() == 30, "all events")
        refused = invoke(tmp_path, settings, "--to", "beginning", "--yes")
        with pytest.raises(ResetRefused, match="1 active members"):
            plan_reset(config.source, ledger.positions, "end", None)
    assert isinstance(refused.exception, ResetRefused)

    make_anew(config.source, topic)
    publish_lines(config.source, [event(100, 10)])
    with pytest.raises(PositionBeyondEnd), running(config) as daemon:
        eventually(lambda: not daemon.thread.is_alive(), "it ends")
    assert invoke(tmp_path, settings, "--to", "beginning").exit_code == 2
    done = invoke(tmp_path, settings, "--to", "beginning", "--yes")
    assert done.exit_code == 0, done.output
    assert f"{topic}[0]" in done.output
    assert stands(settings, ledger) == [(0, 0)] * 3
    assert ledger.positions.received() == 30
    with running(config) as daemon:
        daemon.eventually(lambda: ledger.positions.received() == 31, "the event of the new topic")
    assert outcomes(ledger) == {"scored": 31}
    assert verdicts(ledger) == 31
    assert sum(row.lost for row in ledger.positions.all()) == 0
    ledger.close()


def make_anew(source: Any, topic: str) -> None:
    from kafka import KafkaAdminClient

    from consumers.kafka_topics import create_topic, describe_topic

    admin = KafkaAdminClient(**source.connection())
    admin.delete_topics([topic])
    admin.close()
    eventually(lambda: describe_topic(source.connection(), topic) is None, "the topic is gone")
    create_topic(source.connection(), topic, 3)
    eventually(lambda: set(bounds_of(source, topic).values()) == {(0, 0)}, "the topic is empty")


def test_positions_go_where_they_are_told(kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path) -> None:
    """To the end or to an offset of one partition, and nowhere that the partition does not have."""
    settings = settings_of(kafka, topic, mlflow_uri, tmp_path)
    config = Config.model_validate(settings)
    ledger = open_ledger(settings["ledger"]["url"])
    publish_lines(config.source, [event(number, 10) for number in range(60)])
    bounds = bounds_of(config.source, topic)
    assert active_members(config.source.connection(), topic) == ()
    assert invoke(tmp_path, settings, "--to", "end", "--yes").exit_code == 0
    ends = [(bounds[number][1], bounds[number][1]) for number in range(3)]
    assert stands(settings, ledger) == ends
    filled = max(range(3), key=lambda number: bounds[number][1])
    assert invoke(tmp_path, settings, "--to", "1", "--partition", str(filled), "--yes").exit_code == 0
    assert stands(settings, ledger)[filled] == (1, 1)
    assert [each for number, each in enumerate(stands(settings, ledger)) if number != filled] == [
        each for number, each in enumerate(ends) if number != filled
    ]
    for wrong, words in (
        (("1000", 0), r"offsets from 0 to its end"),
        (("soon", 0), "beginning, end, or an offset"),
        (("5", None), "needs --partition"),
        (("end", 7), "no partition 7"),
    ):
        with pytest.raises(ResetRefused, match=words):
            plan_reset(config.source, ledger.positions, *wrong)
    ledger.close()
