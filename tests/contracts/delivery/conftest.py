"""Each kind of receiver as a real peer: what it was told is asked of the peer itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

import httpx
import pytest
from alertmanager_server import AlertmanagerServer
from webhook_receiver import WebhookReceiver

from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.assembly import notifier_of
from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.notifier import MemoryNotifier, Notifier

TOKEN = "T0KEN-of-the-path-77aa"


@dataclass(kw_only=True)
class Peer:
    """A receiver and its other end. `told` is (alert, is it over, all of its text) in the order of arrival."""

    notifier: Notifier
    told: Callable[[], list[tuple[str, bool, str]]]
    go_away: Callable[[], None]
    come_back: Callable[[], None]
    secrets: list[str] = field(default_factory=list)


@pytest.fixture(params=["memory", "webhook", "alertmanager", "apprise"])
def peer(request: pytest.FixtureRequest) -> Any:
    """A peer of each kind."""
    return request.getfixturevalue(f"{request.param}_peer")


@pytest.fixture
def memory_peer() -> Peer:
    """The form in memory."""
    notifier = MemoryNotifier()

    def trouble(words: str | None) -> None:
        notifier.trouble = None if words is None else DeliveryFailed(words)

    return Peer(
        notifier=notifier,
        told=lambda: [(each.alert.id, each.is_over, f"{each.title}\n{each.text}") for each in notifier.told],
        go_away=lambda: trouble("away"),
        come_back=lambda: trouble(None),
    )


@pytest.fixture
def webhook() -> Iterator[WebhookReceiver]:
    """A webhook that listens."""
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def webhook_peer(webhook: WebhookReceiver) -> Peer:
    """A webhook of one's own."""
    settings = ReceiverSettings.model_validate(
        {"name": "ops", "kind": "webhook", "url": f"{webhook.address}/hooks/{TOKEN}", "secret": "signing-key-1"}
    )

    def told() -> list[tuple[str, bool, str]]:
        bodies = [each.json for each in webhook.accepted]
        return [(b["alert"]["id"], b["type"] == "alert.resolved", f"{b['title']}\n{b['text']}") for b in bodies]

    return Peer(
        notifier=notifier_of(settings),
        told=told,
        go_away=webhook.go_away,
        come_back=webhook.come_back,
        secrets=[TOKEN, "signing-key-1"],
    )


@pytest.fixture
def apprise_peer(webhook: WebhookReceiver) -> Peer:
    """A service of apprise: its JSON, which arrives at a webhook. It carries no id of ours but in the text."""
    url = f"json://anna:{TOKEN}@{webhook.address.removeprefix('http://')}/{TOKEN}"
    settings = ReceiverSettings.model_validate({"name": "chat", "kind": "apprise", "url": url})

    def told() -> list[tuple[str, bool, str]]:
        bodies = [each.json for each in webhook.accepted]
        texts = [f"{body['title']}\n{body['message']}" for body in bodies]
        return [(text.rpartition("\nalert: ")[2].split("\n")[0], "[RESOLVED]" in text, text) for text in texts]

    return Peer(
        notifier=notifier_of(settings),
        told=told,
        go_away=webhook.go_away,
        come_back=webhook.come_back,
        secrets=[TOKEN],
    )


@pytest.fixture
def alertmanager_peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    """A real Alertmanager of the test's own, which may be ended."""
    request.getfixturevalue("alertmanager")
    command = which("prometheus-alertmanager")
    assert command is not None
    server = AlertmanagerServer(command, tmp_path)
    server.start()
    yield Peer(
        notifier=notifier_of(alertmanager_settings(server.address)),
        told=lambda: told_to(server.address),
        go_away=server.stop,
        come_back=server.start,
    )
    server.stop()


def alertmanager_settings(address: str, **more: Any) -> ReceiverSettings:
    """The settings of an Alertmanager."""
    return ReceiverSettings.model_validate({"name": "am", "kind": "alertmanager", "url": address, **more})


def told_to(address: str) -> list[tuple[str, bool, str]]:
    """The alerts that an Alertmanager has and that fire; it says nothing of those that are over."""
    alerts = httpx.get(f"{address}/api/v2/alerts").raise_for_status().json()
    notes = [each["annotations"] for each in alerts]
    return [(note["alert_id"], False, f"{note['summary']}\n{note['description']}") for note in notes]
