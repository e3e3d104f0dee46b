"""A regression becomes one page at a real webhook and a real Alertmanager, and ends there, across a restart."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_servers import Alertmanager
from typer.testing import CliRunner
from webhook_receiver import WebhookReceiver

from monitor.cli import app
from monitor.config import Config
from tests.acceptance.running_daemon import eventually, patience_for, running

SECRET = "whsec_c2lnbmluZy1rZXktb2YtdGhlLXRlc3Q="
TOKEN = "P4th-T0ken-91aa"


def configuration(folder: Path, mlflow_uri: str, webhook: str, alertmanager: str) -> dict[str, Any]:
    return {
        "app": "shop",
        "labels": {"team": "growth"},
        "source": {"kind": "file", "path": str(folder / "events.jsonl")},
        "mlflow": {"tracking_uri": mlflow_uri},
        "ledger": {"url": f"sqlite:///{folder / 'ledger.db'}"},
        "sampling": {"rate": "always"},
        "dataset": None,
        "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 9, "target": 0.9}],
        "redaction": {"patterns": ["email"]},
        "statistics": {"block": "1s", "close_after": "0s"},
        "alerts": {
            "false_alarm_every": "1h",
            "min_verdicts": 1,
            "receivers": [
                {
                    "name": "ops",
                    "kind": "webhook",
                    "url": f"{webhook}/{TOKEN}",
                    "content": "redacted",
                    "secret": SECRET,
                    "about": ["quality"],
                },
                {"name": "am", "kind": "alertmanager", "url": alertmanager, "repeat": "10s"},
            ],
        },
        "pipeline": {"upkeep_every": "500ms", "commit_every": "200ms"},
        "http": {"port": 0},
    }


def publish(folder: Path, name: str, events: int, outputs: str, *, ago_s: int = 0) -> None:
    at_ms = time.time_ns() // 1_000_000 - ago_s * 1000
    with (folder / "events.jsonl").open("a") as file:
        for number in range(events):
            asked = {"trace_id": f"{name}-{number}", "timestamp_ms": at_ms, "inputs": {"question": f"q{number % 5}"}}
            event = {**asked, "outputs": outputs}
            file.write(f"{json.dumps(event)}\n")


def firing(alertmanager: str) -> list[dict[str, Any]]:
    alerts = httpx.get(f"{alertmanager}/api/v2/alerts", params={"filter": ['app="shop"', 'scorer="short"']}).json()
    return [each for each in alerts if each["labels"]["alertname"] == "TracewatchProductionRegression"]


def test_one_regression_is_one_page_though_its_receiver_was_down_and_the_daemon_restarted(
    mlflow_uri: str, tmp_path: Path, alertmanager: str
) -> None:
    """The webhook is away when it fires; after a restart it gets the page, with the good answer, once; then its end."""
    # In a block before that of the bad ones, however soon these come.
    publish(tmp_path, "good", 5, "short", ago_s=60)
    with WebhookReceiver() as webhook:
        config = Config.model_validate(configuration(tmp_path, mlflow_uri, webhook.address, alertmanager))
        webhook.go_away()
        with running(config) as daemon:
            daemon.eventually(lambda: 'verdict="pass"} 5.0' in daemon.metrics(), "good answers before")
            publish(tmp_path, "bad", 30, "write to anna@example.com, who knows")
            daemon.eventually(lambda: firing(alertmanager), "Alertmanager is told")
            failed = 'tracewatch_alerts_delivered_total{app="shop",outcome="failed",receiver="ops"}'
            daemon.eventually(lambda: f"{failed} 0.0" not in daemon.metrics(), "the webhook was tried")
        webhook.come_back()
        with running(config) as daemon:
            daemon.eventually(lambda: webhook.accepted, "the page arrives")
            publish(tmp_path, "again", 300, "short")
            daemon.eventually(lambda: len(webhook.accepted) > 1, "its end arrives", patience_s=patience_for(300))
            daemon.eventually(lambda: not firing(alertmanager), "it has ended at Alertmanager")
            metrics = daemon.metrics()
    fired, resolved = [each.json for each in webhook.accepted]
    assert (fired["type"], resolved["type"]) == ("alert.fired", "alert.resolved")
    assert fired["alert"]["id"] == resolved["alert"]["id"]
    assert fired["labels"]["team"] == "growth"
    assert fired["proof"]["before"] == 0.9
    assert len(fired["examples"]) == 3
    for example in fired["examples"]:
        assert example["outputs"] == '"write to [email], who knows"'
        assert example["good"]["outputs"] == '"short"'
        assert example["inputs"] == example["good"]["inputs"]
    assert "anna" not in webhook.accepted[0].body.decode()
    assert all(each.headers["webhook-signature"].startswith("v1,") for each in webhook.accepted)
    for name in ('delivery_working{app="shop"}', 'receiver_working{app="shop",receiver="ops"}'):
        assert f"tracewatch_{name} 1.0" in metrics


def said(*arguments: str) -> tuple[int, str]:
    """A command's exit code and all that it prints, in this process."""
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_a_page_test_goes_through_every_receiver_and_says_which_is_not_reached(
    mlflow_uri: str, tmp_path: Path, alertmanager: str
) -> None:
    """One line each, exit 3 where one is away; no secret in it. `check` has a line for each, too."""
    (tmp_path / "events.jsonl").write_text("")
    with WebhookReceiver() as webhook:
        config = configuration(tmp_path, mlflow_uri, webhook.address, alertmanager)
        chat = {"name": "chat", "kind": "apprise", "url": f"json://{webhook.address.removeprefix('http://')}/{TOKEN}"}
        config["alerts"]["receivers"].append(chat)
        config["judge"] = {"base_url": "http://127.0.0.1:1/v1", "api_key": "none"}
        file = tmp_path / "tracewatch.yaml"
        file.write_text(yaml.safe_dump(config))
        code, text = said("page-test", "-c", str(file), "--hold", "0s")
        assert code == 0, text
        assert [line.split(": ")[0] for line in text.splitlines()] == [
            f"ok     receiver {name}" for name in ("ops", "am", "chat")
        ]
        told = [each.json for each in webhook.accepted]
        assert sorted(each["type"] for each in told if "labels" in each) == ["alert.fired", "alert.resolved"]
        assert [each["labels"]["alertname"] for each in told if "labels" in each] == ["TracewatchPageTest"] * 2
        assert sorted(each["title"].split("]")[0] for each in told if "labels" not in each) == [
            "[FIRING, page",
            "[RESOLVED",
        ]
        webhook.go_away()
        code, text = said("page-test", "-c", str(file), "--within", "1", "--hold", "0s")
        assert code == 3, text
        assert text.count("FAILED receiver") == 2
        assert "ok     receiver am" in text
        checked, words = said("check", "-c", str(file))
        assert checked == 1
        assert "FAILED receiver ops: 127.0.0.1:" in words
        assert "ok     receiver am: 127.0.0.1:" in words
        assert "ok     receiver chat: JSON: the address is understood" in words
    for secret in (TOKEN, SECRET):
        assert secret not in text + words


def page_tests_only(folder: Path, alertmanager: str) -> str:
    """A configuration that is good for testing the way to one Alertmanager; its file."""
    file = folder / "tracewatch.yaml"
    receivers = [{"name": "am", "kind": "alertmanager", "url": alertmanager}]
    scorers = [{"name": "short", "use": "AnswerLength", "max_length": 9}]
    file.write_text(yaml.safe_dump({"app": "shop", "scorers": scorers, "alerts": {"receivers": receivers}}))
    return str(file)


def test_a_page_test_reaches_the_people_behind_an_alertmanager_that_waits_for_a_group(
    start_alertmanager: Callable[[str], Alertmanager], tmp_path: Path
) -> None:
    """What fires for longer than `group_wait` is told to them, and so is its end; what ends before it never is."""
    with WebhookReceiver() as people:
        server = start_alertmanager(
            "route: {receiver: people, group_by: [alertname], group_wait: 1s, group_interval: 1s}\n"
            f"receivers: [{{name: people, webhook_configs: [{{url: '{people.address}', send_resolved: true}}]}}]\n"
        )
        code, text = said("page-test", "-c", page_tests_only(tmp_path, server.address), "--hold", "10s")
        assert code == 0, text
        assert "receiver am: waiting 10s" in text
        told = people.accepted[0].json
        assert (told["status"], told["groupLabels"]) == ("firing", {"alertname": "TracewatchPageTest"})
        eventually(lambda: people.accepted[-1].json["status"] == "resolved", "they are told of its end")


def test_a_page_test_that_is_interrupted_while_it_waits_ends_its_alert(tmp_path: Path) -> None:
    """Ctrl-C cuts the wait short, and no test alert is left firing."""
    with WebhookReceiver() as alertmanager:

        def interrupt_when_fired() -> None:
            eventually(lambda: alertmanager.accepted, "it fires")
            os.kill(os.getpid(), signal.SIGINT)

        someone = threading.Thread(target=interrupt_when_fired)
        someone.start()
        code, text = said("page-test", "-c", page_tests_only(tmp_path, alertmanager.address), "--hold", "3m")
        someone.join()
        fired, ended = (each.json[0] for each in alertmanager.accepted)
    assert code == 0, text
    assert fired["labels"] == ended["labels"]
    assert fired["endsAt"] > ended["endsAt"]


def test_a_page_test_with_a_hold_that_is_no_duration_is_a_wrong_command_line(tmp_path: Path) -> None:
    """Exit 2, and what was meant by it."""
    code, text = said("page-test", "-c", page_tests_only(tmp_path, "http://127.0.0.1:1"), "--hold", "soon")
    assert code == 2
    assert "a duration is a number with a unit" in " ".join(text.replace("│", " ").split())


def test_a_page_test_without_receivers_is_a_wrong_configuration(tmp_path: Path) -> None:
    """There is nobody to tell: exit 2."""
    file = tmp_path / "tracewatch.yaml"
    file.write_text("app: shop\nscorers: [{name: a, use: AnswerLength, max_length: 9}]\n")
    code, text = said("page-test", "-c", str(file))
    assert code == 2
    assert "alerts.receivers names nobody" in text
