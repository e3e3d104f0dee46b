"""What a real Alertmanager makes of it."""

import time

import httpx
import pytest

from monitor.delivery.assembly import notifier_of
from monitor.delivery.errors import DeliveryFailed
from tests.contracts.delivery.conftest import alertmanager_settings, told_to
from tests.contracts.delivery.test_notifiers import alert, message

AWAY = "http://127.0.0.1:1"


def test_an_alert_that_is_told_again_stays_one_and_ends_unless_it_is(alertmanager):
    """Same labels, same start, an end five reminders ahead: nobody's alert fires for ever after its daemon is gone."""
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
        "kind": "production",
        "scorer": "told-again",
        "segment": "all",
        "severity": "page",
        "team": "growth",
    }
    assert told["annotations"]["runbook_url"].endswith("/production_regression.md")
    assert told["annotations"]["proof"] == '{"before": 0.91, "after": 0.74, "verdicts": 412}'
    assert _ms(told["startsAt"]) == row.since_ms
    assert _ms(told["endsAt"]) == now_ms + 1000 + 10 * 60_000


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
