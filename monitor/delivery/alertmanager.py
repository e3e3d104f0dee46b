"""Alerts to Prometheus's Alertmanager by its API v2, which is told again and again of what still fires."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.http import ReceiverHttp
from monitor.delivery.message import Message

# An alert that is no longer told of ends: later than a long outage of the ledger, which says nothing of the alert, and
# after it was left out a few times. What is really over is told at once.
_OUTLIVES: Final = timedelta(hours=4)
_LEFT_OUT: Final = 5


class AlertmanagerNotifier:
    """One Alertmanager or all of a cluster: whoever accepts tells the others, and those left out are told next time."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._https = [(address, ReceiverHttp(settings)) for address in settings.addresses]
        again = settings.told_again_after
        outlives = _OUTLIVES if again is None else max(_OUTLIVES, _LEFT_OUT * again)
        self._outlives_ms = outlives // timedelta(milliseconds=1)

    def tell(self, message: Message, now_ms: int) -> None:
        """Post the alert to each address.

        Raises:
            DeliveryFailed: nobody has accepted it.
        """
        alerts = [alert_json(message, now_ms + self._outlives_ms)]
        if message.formerly is not None:
            # For Alertmanager another label is another alert.
            labels = {**message.labels, "severity": message.formerly}
            alerts.append({**alerts[0], "labels": labels, "endsAt": _time(now_ms)})
        body = json.dumps(alerts).encode()
        failures = []
        for address, http in self._https:
            try:
                http.post(f"{address.get_secret_value().rstrip('/')}/api/v2/alerts", body, {})
            except DeliveryFailed as failure:
                failures.append(failure)
        if len(failures) == len(self._https):
            raise _together(failures)

    def probe(self) -> str:
        """Ask each address for its status.

        Raises:
            DeliveryFailed: one of them does not answer.
        """
        return ", ".join(
            http.probe("GET", f"{address.get_secret_value().rstrip('/')}/api/v2/status", any_answer=False)
            for address, http in self._https
        )


def alert_json(message: Message, ends_ms: int) -> dict[str, Any]:
    """An alert as the API takes it; `ends_ms` is when it ends unless it is told of again before."""
    alert = message.alert
    annotations = {
        "summary": message.summary,
        "description": message.text,
        "runbook_url": message.links.get("runbook"),
        "dashboard_url": message.links.get("dashboard"),
        "run_url": message.links.get("run"),
        "proof": json.dumps(message.proof),
        "alert_id": alert.id,
    }
    generator = message.links.get("dashboard") or message.links.get("run")
    return {
        "labels": dict(message.labels),
        "annotations": {name: text for name, text in annotations.items() if text},
        "startsAt": _time(alert.since_ms),
        "endsAt": _time(ends_ms if alert.resolved_ms is None else alert.resolved_ms),
        **({} if generator is None else {"generatorURL": generator}),
    }


def _together(failures: list[DeliveryFailed]) -> DeliveryFailed:
    waits = [failure.retry_after_s for failure in failures if failure.retry_after_s is not None]
    return DeliveryFailed(
        "; ".join(dict.fromkeys(map(str, failures))),
        refused=all(failure.refused for failure in failures),
        retry_after_s=min(waits, default=None),
    )


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
