"""Alerts to a webhook of one's own, signed as Standard Webhooks 1.0.0 describes it."""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.http import ReceiverHttp
from monitor.delivery.message import Message

_PREFIX: Final = "whsec_"


class WebhookNotifier:
    """Posts a JSON body; the header `webhook-id` is the message's id, the same at each attempt."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._http = ReceiverHttp(settings)

    def tell(self, message: Message, now_ms: int) -> None:
        """Post the message.

        Raises:
            DeliveryFailed: it was not accepted.
        """
        body = json.dumps(body_of(message)).encode()
        headers = {"webhook-id": message.id, "idempotency-key": message.id, "webhook-timestamp": str(now_ms // 1000)}
        secret = self._settings.secret
        if secret is not None:
            headers["webhook-signature"] = signature(secret.get_secret_value(), message.id, now_ms // 1000, body)
        self._http.post(self._url, body, headers)

    def probe(self) -> str:
        """Ask the address for any answer.

        Raises:
            DeliveryFailed: there is none.
        """
        return self._http.probe("HEAD", self._url, any_answer=True)

    @property
    def _url(self) -> str:
        (address,) = self._settings.addresses
        return address.get_secret_value()


def signature(secret: str, message_id: str, at_s: int, body: bytes) -> str:
    """`v1,` and base64 of HMAC-SHA256 over `ID.SECONDS.BODY`: whoever knows the secret can tell that it is from us."""
    digest = hmac.digest(_key(secret), f"{message_id}.{at_s}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def body_of(message: Message) -> dict[str, Any]:
    """What is posted. Times are ISO 8601 and, where their name ends in `_ms`, milliseconds since the epoch."""
    alert = message.alert
    happened = alert.resolved_ms if message.transition == "resolved" else alert.fired_ms
    return {
        "id": message.id,
        "type": f"alert.{message.transition}",
        "timestamp": _time(happened if happened is not None else alert.since_ms),
        "alert": {
            "id": alert.id,
            "kind": alert.kind,
            "scorer": alert.scorer,
            "segment": alert.segment,
            "severity": alert.severity,
            "state": alert.state,
            "since_ms": alert.since_ms,
            "fired_ms": alert.fired_ms,
            "resolved_ms": alert.resolved_ms,
        },
        "labels": dict(message.labels),
        "title": message.title,
        "text": message.text,
        "proof": dict(message.proof),
        "examples": [_known(asdict(example)) for example in message.examples],
        "links": dict(message.links),
    }


def _key(secret: str) -> bytes:
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _known(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value is not None
    }


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
