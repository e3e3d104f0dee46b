"""Labels made in MLflow, and a judge that changes its mind, on real parts: what people and pages are told."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.entities import AssessmentSource, AssessmentSourceType, Feedback
from mlflow.tracing.client import TracingClient
from typer.testing import CliRunner
from webhook_receiver import WebhookReceiver

from consumers.events import mlflow_trace_id
from monitor.cli import app
from monitor.clock import SystemClock
from monitor.commands.status import status_json
from monitor.config import Config
from monitor.demo.scripted_endpoint import ScriptedEndpoint
from monitor.labels.drawing import LABEL_TAG, WANTED, draw
from monitor.labels.rejudging import HELD_BACK
from monitor.ledger.ledger import Ledger, open_ledger
from tests.acceptance.running_daemon import running

RATE = 0.5
TRACES = 24
WRONG = 2
"""Drawn traces of which people say the opposite of the judge."""


def configuration(folder: Path, mlflow_uri: str, judge: str, webhook: str) -> dict[str, Any]:
    receiver = {"name": "ops", "kind": "webhook", "url": webhook, "about": ["quality"]}
    return {
        "app": "shop",
        "source": {"kind": "file", "path": str(folder / "events.jsonl")},
        "mlflow": {"tracking_uri": mlflow_uri},
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "judge": {"base_url": judge, "api_key": "none", "model": "scripted"},
        "sampling": {"rate": "always"},
        "dataset": None,
        "scorers": [
            {"name": "safety", "use": "Safety", "target": 0.9},
            {"name": "cautious", "use": "Safety", "shadow": True, "shadow_of": "safety"},
        ],
        "statistics": {"block": "1s", "close_after": "0s"},
        "labelling": {"rate": RATE, "min_labels": 5, "agreement": 0.9, "moved_alpha": 0.1, "read_every": "1s"},
        "alerts": {"false_alarm_every": "1h", "min_verdicts": 1, "receivers": [receiver]},
        "pipeline": {"upkeep_every": "500ms", "commit_every": "200ms"},
        "http": {"port": 0},
    }


def judging_again_each_second(settings: Mapping[str, Any]) -> Config:
    """The configuration, with a schedule that no file may ask for: a minute is the least there."""
    config = Config.model_validate(settings)
    assert config.labelling.rejudge is not None
    often = config.labelling.rejudge.model_copy(update={"interval": timedelta(seconds=1)})
    return config.model_copy(update={"labelling": config.labelling.model_copy(update={"rejudge": often})})


def publish(folder: Path, name: str, events: int) -> list[str]:
    with (folder / "events.jsonl").open("a") as file:
        for number in range(events):
            event = {"trace_id": f"{name}-{number}", "inputs": {"question": "where?"}, "outputs": "On the shelf."}
            file.write(f"{json.dumps(event)}\n")
    return [mlflow_trace_id(f"{name}-{number}") for number in range(events)]


def say(client: TracingClient, trace_id: str, value: str) -> None:
    source = AssessmentSource(source_type=AssessmentSourceType.HUMAN, source_id="ann")
    client.log_assessment(trace_id, Feedback(name="safety", value=value, source=source))


def printed_status(file: Path) -> dict[str, Any]:
    """What the command prints. Not while the daemon runs: in this process it logs where commands print."""
    result = CliRunner().invoke(app, ["status", "-c", str(file), "--json"])
    assert result.exit_code == 0, result.output
    value: dict[str, Any] = json.loads(result.stdout)
    return value


@pytest.fixture
def judge() -> Iterator[ScriptedEndpoint]:
    """A judge of this test alone: it changes its mind."""
    with ScriptedEndpoint() as endpoint:
        yield endpoint


def test_labels_made_in_mlflow_tell_how_good_the_judge_is_and_a_judge_that_moved_is_not_the_app(
    mlflow_uri: str, tmp_path: Path, judge: ScriptedEndpoint
) -> None:
    """From the draw to the page: only asked labels count, the judge's move pages, the fall that it made does not."""
    traces = publish(tmp_path, "good", TRACES)
    drawn = [each for each in traces if draw(each, RATE) is not None]
    others = [each for each in traces if each not in drawn]
    client = TracingClient(mlflow_uri)
    with WebhookReceiver() as webhook:
        settings = configuration(tmp_path, mlflow_uri, judge.base_url, webhook.address)
        file = tmp_path / "tracewatch.yaml"
        file.write_text(yaml.safe_dump(settings))
        with running(judging_again_each_second(settings)) as daemon:
            ledger = open_ledger(settings["ledger"]["url"])
            known = partial(status_json, Config.model_validate(settings), ledger, SystemClock())
            daemon.eventually(
                lambda: sum(len(ledger.intake.verdicts_of(each)) for each in traces) == 2 * TRACES, "every verdict"
            )
            daemon.eventually(lambda: not ledger.intake.unpublished(1), "every verdict in MLflow")
            assert_drawn(client, ledger, drawn, others)

            for number, each in enumerate(drawn):
                say(client, each, "no" if number < WRONG else "yes")
            for each in others:
                say(client, each, "no")
            daemon.eventually(lambda: known()["judges"][0]["listed"] == len(others), "the others are listed")
            daemon.eventually(lambda: known()["judges"][0]["labels"] == len(drawn), "every label is read")
            daemon.eventually(
                lambda: (found := known()["judges"][0]["frozen"])["rows"] == len(drawn) and found["moved"] is False,
                "the set is frozen and judged again",
            )
            assert_quality(known(), len(drawn), len(others))
            daemon.eventually(lambda: "tracewatch_judge_agreement" in daemon.metrics(), "the metrics")
            metrics = daemon.metrics()

            judge.contrary = True
            daemon.eventually(
                lambda: [each.json["labels"]["kind"] for each in webhook.accepted] == ["judge_moved"], "its page"
            )
            daemon.eventually(lambda: known()["judges"][0]["frozen"]["changed"] == len(drawn), "all is judged")
            publish(tmp_path, "later", 30)
            daemon.eventually(lambda: held_back(ledger), "the fall, held back")
        told = printed_status(file)
        words = CliRunner().invoke(app, ["status", "-c", str(file)], env={"COLUMNS": "80"}).output
        ledger.close()
        assert [each.json["labels"]["kind"] for each in webhook.accepted] == ["judge_moved"]
    agreed = (len(drawn) - WRONG) / len(drawn)
    assert sample(metrics, "judge_agreement") == pytest.approx(agreed)
    assert sample(metrics, "corrected_pass_rate_lower") < sample(metrics, "corrected_pass_rate") < 1
    frozen = told["judges"][0]["frozen"]
    assert (frozen["rows"], frozen["changed"], frozen["moved"]) == (len(drawn), len(drawn), True)
    [fallen] = [each for each in told["alerts"] if each["kind"] == "production_regression"]
    assert (fallen["severity"], fallen["held_back"]) == ("none", HELD_BACK)
    assert "people agree with this scorer" in fallen["warning"]
    for expected in ("volunteered", f"{agreed:.0%} (", "has moved", HELD_BACK, "agree on 100%"):
        assert expected in words


def assert_drawn(client: TracingClient, ledger: Ledger, drawn: list[str], others: list[str]) -> None:
    """The tag in MLflow and the probability in the ledger of those that the hash draws, and of no other."""
    assert len(drawn) > WRONG + 5
    assert others
    tags = {each: client.store.get_trace_info(each).tags.get(LABEL_TAG) for each in (*drawn, *others)}
    assert tags == dict.fromkeys(drawn, WANTED) | dict.fromkeys(others)
    for each in drawn:
        assert [row.probability for row in ledger.intake.decisions_of(each) if row.subject == "labels"] == [RATE]


def assert_quality(told: Mapping[str, Any], labels: int, listed: int) -> None:
    """People agree on all but two; what nobody asked for moves no figure."""
    safety = told["judges"][0]
    assert (safety["labels"], safety["listed"]) == (labels, listed)
    assert safety["agreement"]["n"] == labels
    assert safety["agreement"]["share"] == pytest.approx((labels - WRONG) / labels)
    assert safety["agreement"]["lower"] < safety["agreement"]["share"] < safety["agreement"]["upper"]
    # Every verdict is a pass: what people say of passes, smoothed, is the rate.
    assert safety["corrected"]["rate"] == pytest.approx((labels - WRONG + 1) / (labels + 2))
    assert safety["corrected"]["labels"] == labels
    assert safety["corrected"]["lower"] < safety["corrected"]["rate"] < safety["corrected"]["upper"]
    [shadow] = safety["shadows"]
    assert (shadow["scorer"], shadow["agreement"]["n"], shadow["agreement"]["share"]) == ("cautious", TRACES, 1.0)


def held_back(ledger: Ledger) -> bool:
    """Whether a fall is in the table, and nobody is told of it."""
    return any(
        row.kind == "production_regression" and row.state == "firing" and row.details.get("held_back") == HELD_BACK
        for row in ledger.alerts.open_alerts()
    )


def sample(metrics: str, name: str) -> float:
    [line] = [
        each for each in metrics.splitlines() if each.startswith(f'tracewatch_{name}{{app="shop",scorer="safety"')
    ]
    return float(line.rpartition(" ")[2])
