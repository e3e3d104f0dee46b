"""What a real Alertmanager makes of it."""

import time
from dataclasses import replace

import httpx
import pytest

from monitor.delivery.assembly import notifier_of
from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.message import message_of
from tests.contracts.delivery.conftest import alertmanager_settings, told_to
from tests.contracts.delivery.test_notifiers import SENDER, alert, message

AWAY = "http://127.0.0.1:1"


def test_an_alert_that_is_told_again_stays_one_and_ends_unless_it_is(alertmanager):
    """Same labels, same start, an end four hours ahead: later than an outage, yet no alert fires for ever."""
    notifier = notifier_of(alertmanager_settings(alertmanager, repeat="2m"))
    row = alert(id="again", scorer="told-again")
    now_ms = time.time_ns() // 1_000_000
    notifier.tell(message(row), now_ms)
    notifier.tell(message(row), now_ms + 1000)
    found = httpx.get(f"{alertmanager}/api/v2/alerts", params={"filter": 'scorer="told-again"'}).json()
    [told] = found
    assert told["labels"] == {
        "alertname": "TracewatchProductionRegression",
        "app": "shop",
        "kind": "production_regression",
        "scorer": "told-again",
        "segment": "all",
        "severity": "page",
        "team": "growth",
    }
    assert told["annotations"]["runbook_url"].endswith("/production_regression.md")
    assert told["annotations"]["proof"] == '{"before": 0.91, "after": 0.74, "verdicts": 412}'
    assert _ms(told["startsAt"]) == row.since_ms
    assert _ms(told["endsAt"]) == now_ms + 1000 + 4 * 3_600_000


def test_an_alert_outlasts_several_rare_reminders(alertmanager):
    """Where it is told of every two hours, it ends ten hours after the last time."""
    now_ms = time.time_ns() // 1_000_000
    notifier_of(alertmanager_settings(alertmanager, repeat="2h")).tell(message(alert(scorer="rarely-told")), now_ms)
    [told] = httpx.get(f"{alertmanager}/api/v2/alerts", params={"filter": 'scorer="rarely-told"'}).json()
    assert _ms(told["endsAt"]) == now_ms + 10 * 3_600_000


def test_an_end_is_told_at_once_however_far_ahead_the_last_word_put_it(alertmanager):
    """By the notifier of a process that was started since."""
    now_ms = time.time_ns() // 1_000_000
    row = alert(id="ends", scorer="ends")
    notifier_of(alertmanager_settings(alertmanager)).tell(message(row), now_ms)
    assert "ends" in [told for told, _, _ in told_to(alertmanager)]
    over = replace(row, state="resolved", resolved_ms=now_ms)
    notifier_of(alertmanager_settings(alertmanager)).tell(message(over, "resolved"), now_ms)
    assert "ends" not in [told for told, _, _ in told_to(alertmanager)]


def test_a_ticket_that_becomes_a_page_is_one_alert_there(alertmanager):
    """The severity is a label: what was told as a ticket ends as the page begins."""
    now_ms = time.time_ns() // 1_000_000
    notifier = notifier_of(alertmanager_settings(alertmanager))
    notifier.tell(message(alert(scorer="rises", severity="ticket")), now_ms)
    risen = message_of(alert(scorer="rises"), "raised", "links", SENDER, formerly="ticket")
    notifier.tell(risen, now_ms)
    found = httpx.get(f"{alertmanager}/api/v2/alerts", params={"filter": 'scorer="rises"'}).json()
    assert [each["labels"]["severity"] for each in found] == ["page"]


def test_an_alert_that_was_over_before_it_could_be_told_fires_for_nobody(alertmanager):
    """It is accepted, and Alertmanager holds it to be resolved."""
    row = alert(id="late", scorer="late", state="resolved", resolved_ms=time.time_ns() // 1_000_000 - 1000)
    notifier_of(alertmanager_settings(alertmanager)).tell(message(row), time.time_ns() // 1_000_000)
    assert "late" not in [told for told, _, _ in told_to(alertmanager)]


def test_of_a_cluster_one_member_is_enough(alertmanager):
    """Whoever is there accepts; only when nobody is does it fail, in words about each."""
    settings = alertmanager_settings(alertmanager, url=None, urls=[AWAY, alertmanager])
    notifier_of(settings).tell(message(alert(id="cluster", scorer="cluster")), time.time_ns() // 1_000_000)
    assert "cluster" in [told for told, _, _ in told_to(alertmanager)]
    with pytest.raises(DeliveryFailed, match=r"127\.0\.0\.1:1"):
        notifier_of(settings).probe()
    alone = notifier_of(alertmanager_settings(AWAY, url=None, urls=[AWAY, f"{AWAY}/too"]))
    with pytest.raises(DeliveryFailed, match=r"127\.0\.0\.1:1"):
        alone.tell(message(alert()), 0)


def _ms(text: str) -> int:
    from datetime import datetime

    return round(datetime.fromisoformat(text).timestamp() * 1000)
