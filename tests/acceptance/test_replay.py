"""Dead letters taken in again after a fix, on real parts: every event counts once, whatever is repeated."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from consumers.kafka_archive import read_topic
from consumers.kafka_publish import publish_lines
from consumers.letter_contents import REPLAY_HEADER
from monitor.cli import app
from monitor.config import Config
from monitor.ledger.ledger import Ledger, open_ledger
from tests.acceptance.running_daemon import running

SHORT, LONG, BROKEN = 20, 30, 5
ALL = SHORT + LONG + BROKEN


def settings_of(kafka: Any, topic: str, mlflow_uri: str, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "app": "shop",
        "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "group_id": topic},
        "mlflow": {"tracking_uri": mlflow_uri},
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "sampling": {"rate": "always"},
        "dataset": None,
        "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 40}],
        "pipeline": {"upkeep_every": "1s", "commit_every": "200ms"},
        "http": {"port": 0},
        **more,
    }


def with_limit(settings: dict[str, Any], event_bytes: int) -> dict[str, Any]:
    return {**settings, "source": {**settings["source"], "limits": {"event_bytes": event_bytes}}}


def event(number: int, length: int) -> bytes:
    return json.dumps({"trace_id": f"event-{number}", "inputs": {"n": number}, "outputs": "a" * length}).encode()


def events() -> list[bytes]:
    found = [event(number, 10) for number in range(SHORT)]
    found += [event(SHORT + number, 500) for number in range(LONG)]
    return found + [b"{broken %d" % number for number in range(BROKEN)]


def outcomes(ledger: Ledger) -> Counter[str]:
    assert ledger.positions.mismatches() == []
    return Counter({row.outcome: row.count for row in ledger.positions.accounted()})


def verdicts(ledger: Ledger) -> int:
    from sqlalchemy import func, select

    from monitor.ledger.schema import verdicts as table

    with ledger.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def command(folder: Path, settings: dict[str, Any], *arguments: str) -> dict[str, Any]:
    """Run the command; what it prints on standard output is one JSON object."""
    path = folder / "tracewatch.yaml"
    path.write_text(yaml.safe_dump(settings))
    name, *rest = arguments
    done = CliRunner().invoke(app, [name, "-c", str(path), *rest, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def consume(settings: dict[str, Any], ledger: Ledger, received: int) -> None:
    with running(Config.model_validate(settings)) as daemon:
        daemon.eventually(lambda: ledger.positions.received() == received, f"{received} events past the watermark")


def test_letters_are_replayed_after_a_fix_and_doing_it_twice_doubles_nothing(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path
) -> None:
    """Letters of a limit that was too small become verdicts once it is raised; what is broken is left where it is."""
    fixed = settings_of(kafka, topic, mlflow_uri, tmp_path)
    strict = with_limit(fixed, 300)
    letters = f"{topic}.dead-letter"
    ledger = open_ledger(fixed["ledger"]["url"])
    publish_lines(Config.model_validate(fixed).source, events())
    consume(strict, ledger, ALL)
    assert outcomes(ledger) == {"scored": SHORT, "dead_lettered": LONG + BROKEN}

    still = command(tmp_path, strict, "replay", letters, "--dry-run")
    assert (still["sent"], still["still_invalid"]) == (0, {"not_json": BROKEN, "too_large": LONG})
    before = command(tmp_path, fixed, "replay", letters, "--dry-run")
    assert before["by_reason"] == {"not_json": {"still_invalid": BROKEN}, "too_large": {"sent": LONG}}
    assert len(list(read_topic(Config.model_validate(fixed).source, topic))) == ALL

    assert command(tmp_path, fixed, "replay", letters)["sent"] == LONG
    consume(fixed, ledger, ALL + LONG)
    assert outcomes(ledger) == {"scored": SHORT + LONG, "dead_lettered": LONG + BROKEN}
    assert verdicts(ledger) == SHORT + LONG
    replayed = [
        message for message in read_topic(Config.model_validate(fixed).source, topic) if message.header(REPLAY_HEADER)
    ]
    assert {message.value for message in replayed} == {event(SHORT + number, 500) for number in range(LONG)}

    assert command(tmp_path, fixed, "replay", letters)["sent"] == LONG
    consume(fixed, ledger, ALL + 2 * LONG)
    assert outcomes(ledger) == {"scored": SHORT + LONG, "dead_lettered": LONG + BROKEN, "duplicates": LONG}
    assert verdicts(ledger) == SHORT + LONG
    ledger.close()


def test_what_fails_again_after_a_replay_does_not_go_round(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path
) -> None:
    """The letter keeps the mark of the replay, and the next replay leaves it alone."""
    settings = with_limit(settings_of(kafka, topic, mlflow_uri, tmp_path), 300)
    fixed = with_limit(settings, 10_000)
    letters = f"{topic}.dead-letter"
    ledger = open_ledger(settings["ledger"]["url"])
    publish_lines(Config.model_validate(settings).source, [event(0, 500)])
    consume(settings, ledger, 1)
    assert command(tmp_path, settings, "replay", letters, "--all")["sent"] == 1
    consume(settings, ledger, 2)
    assert command(tmp_path, fixed, "replay", letters)["by_reason"] == {"too_large": {"sent": 1, "failed_again": 1}}
    ledger.close()


@pytest.mark.parametrize("payload", ["reference", "redacted"])
def test_letters_without_the_message_are_replayed_from_the_stream_while_it_has_them(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path, payload: str
) -> None:
    """The letter shows nothing of the customer; once retention has passed, a reference is gone and says so."""
    redaction = {"redaction": {"patterns": ["email"]}, "dead_letters": {"payload": payload}}
    fixed = settings_of(kafka, topic, mlflow_uri, tmp_path, **redaction)
    strict = with_limit(fixed, 300)
    source = Config.model_validate(fixed).source
    ledger = open_ledger(fixed["ledger"]["url"])
    secret = json.dumps({"trace_id": "t", "inputs": {"q": "carol@example.com"}, "outputs": "b" * 500}).encode()
    publish_lines(source, [secret])
    consume(strict, ledger, 1)
    [letter] = read_topic(source, source.dead_letters)
    assert b"carol" not in repr(letter).encode()

    assert command(tmp_path, fixed, "replay", source.dead_letters)["by_reason"] == {"too_large": {"sent": 1}}
    [original] = [message for message in read_topic(source, topic) if message.header(REPLAY_HEADER)]
    assert original.value == secret
    first = original.header(REPLAY_HEADER) or b""

    empty_the_topic(source, topic)
    again = command(tmp_path, fixed, "replay", source.dead_letters)
    if payload == "reference":
        assert (again["sent"], again["gone"]) == (0, [first.decode()])
    else:
        assert (again["sent"], again["sent_as_redacted_text"]) == (1, 1)
        [text] = read_topic(source, topic)
        assert json.loads(text.value or b"")["inputs"] == {"q": "[email]"}
    ledger.close()


def empty_the_topic(source: Any, topic: str) -> None:
    """What retention does, at once."""
    from kafka import KafkaAdminClient, TopicPartition

    admin = KafkaAdminClient(**source.connection())
    ends = {TopicPartition(topic, number): -1 for number in range(3)}
    admin.delete_records(ends)
    admin.close()


def test_a_stretch_of_the_stream_and_an_archive_can_be_taken_in_again(
    kafka: Any, topic: str, mlflow_uri: str, tmp_path: Path
) -> None:
    """What is accounted for already is a duplicate; replayed messages are not replayed with their stretch."""
    settings = settings_of(kafka, topic, mlflow_uri, tmp_path)
    source = Config.model_validate(settings).source
    ledger = open_ledger(settings["ledger"]["url"])
    publish_lines(source, events())
    taken = command(tmp_path, settings, "replay", topic, "--since", "1h")
    assert taken["by_reason"] == {"no dead letter": {"sent": SHORT + LONG, "still_invalid": BROKEN}}
    again = command(tmp_path, settings, "replay", topic, "--since", "1h", "--limit", "7", "--dry-run")
    assert again["sent"] == 7
    consume(settings, ledger, ALL + SHORT + LONG)
    assert outcomes(ledger) == {"scored": SHORT + LONG, "dead_lettered": BROKEN, "duplicates": SHORT + LONG}
    assert verdicts(ledger) == SHORT + LONG
    whole = command(tmp_path, settings, "replay", topic, "--since", "1h", "--dry-run")
    assert whole["by_reason"]["no dead letter"]["replayed_before"] == SHORT + LONG

    path = tmp_path / "tracewatch.yaml"
    written = CliRunner().invoke(app, ["dead-letters", "-c", str(path), "--json"], catch_exceptions=False)
    archive = tmp_path / "letters.jsonl"
    archive.write_text(written.stdout)
    assert len(archive.read_text().splitlines()) == BROKEN
    kept = command(tmp_path, settings, "replay", str(archive), "--dry-run", "--all", "--reason", "not_json")
    assert kept["sent"] == BROKEN
    shown = CliRunner().invoke(app, ["dead-letters", "-c", str(path)], catch_exceptions=False)
    assert "not_json" in shown.stdout
    ledger.close()
