"""Webhooks: ids, signatures, statuses, logins."""

import base64
import hmac

import pytest

from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.assembly import notifier_of
from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.webhook import signature
from tests.contracts.delivery.test_notifiers import alert, message

NOW_MS = 1_790_000_000_000


def notifier(webhook, **more):
    return notifier_of(
        ReceiverSettings.model_validate({"name": "ops", "kind": "webhook", "url": f"{webhook.address}/hook", **more})
    )


def test_the_signature_is_that_of_standard_webhooks():
    """The example of the specification's own libraries: key, id, time, body and signature as they publish them."""
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_has_a_stable_id_a_time_and_a_signature_over_its_very_bytes(webhook):
    """Told twice it is the same message: only the time and, with it, the signature differ."""
    told = notifier(webhook, secret="plain text key")
    told.tell(message(alert()), NOW_MS)
    told.tell(message(alert()), NOW_MS + 5000)
    first, second = webhook.accepted
    assert first.path == "/hook"
    assert first.headers["webhook-id"] == first.headers["idempotency-key"] == first.json["id"]
    assert first.json["id"] == second.json["id"] == "0123456789abcdef.fired"
    for sent, at_s in ((first, NOW_MS // 1000), (second, NOW_MS // 1000 + 5)):
        assert sent.headers["webhook-timestamp"] == str(at_s)
        signed = f"{sent.json['id']}.{at_s}.".encode() + sent.body
        expected = base64.b64encode(hmac.digest(b"plain text key", signed, "sha256")).decode()
        assert sent.headers["webhook-signature"] == f"v1,{expected}"


def test_without_a_secret_there_is_no_signature(webhook):
    """Nothing that looks like one."""
    notifier(webhook).tell(message(alert()), NOW_MS)
    assert "webhook-signature" not in webhook.accepted[0].headers


def test_the_body_says_all_that_the_page_says(webhook):
    """Kind, labels, numbers, links, times."""
    notifier(webhook).tell(message(alert()), NOW_MS)
    body = webhook.accepted[0].json
    assert body["type"] == "alert.fired"
    assert body["alert"]["kind"] == "production_regression"
    assert body["labels"] == {
        "alertname": "TracewatchProductionRegression",
        "app": "shop",
        "kind": "production",
        "scorer": "safety",
        "segment": "all",
        "severity": "page",
        "team": "growth",
    }
    assert body["proof"] == {"before": 0.91, "after": 0.74, "verdicts": 412}
    assert body["links"] == {"runbook": "https://docs.example/runbooks/production_regression.md"}
    assert "pod" not in body["labels"]


@pytest.mark.parametrize(("status", "refused"), [(400, True), (413, True), (401, False), (404, False), (503, False)])
def test_a_status_tells_whether_the_message_or_the_receiver_is_the_matter(webhook, status, refused):
    """What it answers is quoted, shortened."""
    webhook.answer(status)
    with pytest.raises(DeliveryFailed, match=f"HTTP {status}") as failure:
        notifier(webhook).tell(message(alert()), NOW_MS)
    assert failure.value.refused is refused


def test_a_receiver_may_ask_for_patience_and_is_not_believed_for_ever(webhook):
    """`Retry-After` in seconds counts up to an hour."""
    webhook.answer(429, retry_after="7")
    with pytest.raises(DeliveryFailed) as failure:
        notifier(webhook).tell(message(alert()), NOW_MS)
    assert failure.value.retry_after_s == 7
    webhook.answer(429, retry_after="999999999")
    with pytest.raises(DeliveryFailed) as failure:
        notifier(webhook).tell(message(alert()), NOW_MS)
    assert failure.value.retry_after_s == 3600


def test_a_redirect_is_not_followed(webhook):
    """A page goes to the configured address and to no other."""
    webhook.answer(307, location=f"{webhook.address}/elsewhere")
    with pytest.raises(DeliveryFailed, match="HTTP 307"):
        notifier(webhook).tell(message(alert()), NOW_MS)
    assert webhook.accepted == []


def test_a_login_is_shown_as_configured_and_read_anew_from_its_file(webhook, tmp_path):
    """Basic authentication, and a token whose file is replaced between two messages."""
    from monitor.secret_files import FileSecret, SecretFile

    notifier(webhook, username="anna", password="pw-1").tell(message(alert()), NOW_MS)
    basic = base64.b64encode(b"anna:pw-1").decode()
    assert webhook.accepted[-1].headers["authorization"] == f"Basic {basic}"
    file = tmp_path / "token"
    file.write_text("token-1")
    told = notifier(webhook, token=FileSecret([SecretFile(file)]))
    told.tell(message(alert()), NOW_MS)
    assert webhook.accepted[-1].headers["authorization"] == "Bearer token-1"
    file.write_text("token-22")
    told.tell(message(alert()), NOW_MS)
    assert webhook.accepted[-1].headers["authorization"] == "Bearer token-22"


def test_an_answer_that_quotes_a_secret_is_not_passed_on(webhook):
    """The receiver sends the body back; a token that no header can carry stands in no error either."""
    webhook.answer(500)
    with pytest.raises(DeliveryFailed) as failure:
        notifier(webhook, token="secret-t0ken").tell(message(alert(scorer="secret-t0ken")), NOW_MS)
    assert "secret-t0ken" not in str(failure.value)
    with pytest.raises(DeliveryFailed) as failure:
        notifier(webhook, token="bad\nt0ken-9").tell(message(alert()), NOW_MS)
    assert "t0ken-9" not in str(failure.value)


def test_a_receiver_that_never_answers_costs_its_timeout():
    """A socket that listens and says nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"name": "ops", "kind": "webhook", "url": address, "timeout": "1s"}
        with pytest.raises(DeliveryFailed, match="no answer within 1 s"):
            notifier_of(ReceiverSettings.model_validate(settings)).tell(message(alert()), NOW_MS)
