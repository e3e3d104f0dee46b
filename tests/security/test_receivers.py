"""Receivers of alerts: whom they are trusted to be, what they are shown, and that nobody else is contacted."""

import base64
import subprocess
import sys

import pytest
from guard import guarded, server_context
from webhook_receiver import WebhookReceiver

from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.assembly import notifier_of
from monitor.delivery.errors import DeliveryFailed
from tests.contracts.delivery.test_notifiers import alert, message

PASSWORD = "receiver-password-81"
BASIC = "Basic " + base64.b64encode(f"anna:{PASSWORD}".encode()).decode()

# A hook of the interpreter itself: whatever asks for a name or opens a connection, in Python or in a library in C.
WATCHED = """
import sys
asked, watched = [], {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
sys.addaudithook(lambda name, args: asked.append(name) if name in watched else None)
from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.assembly import notifier_of
for url in ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "mailto://anna:pw@example.com", "json://h/x"):
    words = notifier_of(ReceiverSettings(name="chat", kind="apprise", url=url)).probe()
    print(words)
import apprise
print("ASKED", asked)
import socket
socket.socket().connect_ex(("127.0.0.1", 1))
print("AND THEN", asked)
"""


@pytest.fixture
def webhook():
    """A webhook that listens."""
    with WebhookReceiver() as receiver:
        yield receiver


def told(guard, **keys):
    settings = {"name": "ops", "kind": "webhook", "url": f"{guard.address}/hook", **keys}
    notifier_of(ReceiverSettings.model_validate(settings)).tell(message(alert()), 0)


def test_the_receiver_s_own_authority_is_trusted_and_its_password_shown(webhook, authority, stranger):
    """`ca_file` belongs to the one receiver; a wrong authority or password tells it nothing."""
    login = {"username": "anna", "password": PASSWORD}
    with guarded(webhook.address, BASIC, server_context(authority.issue("ops"))) as guard:
        told(guard, ca_file=authority.file, **login)
        assert len(webhook.accepted) == 1
        for keys in ({"ca_file": stranger.file, **login}, login):
            with pytest.raises(DeliveryFailed, match="certificate verify failed"):
                told(guard, **keys)
        with pytest.raises(DeliveryFailed, match="HTTP 401"):
            told(guard, ca_file=authority.file, username="anna", password="wrong-password")
        with pytest.raises(DeliveryFailed, match="No such file"):
            told(guard, ca_file="/nowhere/ca.pem", **login)
    assert len(webhook.accepted) == 1


def test_a_file_of_authorities_may_be_replaced(webhook, authority, stranger, tmp_path):
    """The next attempt after a failure reads it anew: a rotated authority needs no restart."""
    file = tmp_path / "ca.pem"
    file.write_bytes(stranger.file.read_bytes())
    with guarded(webhook.address, None, server_context(authority.issue("ops"))) as guard:
        settings = {"name": "ops", "kind": "webhook", "url": guard.address, "ca_file": str(file)}
        notifier = notifier_of(ReceiverSettings.model_validate(settings))
        with pytest.raises(DeliveryFailed, match="certificate verify failed"):
            notifier.tell(message(alert()), 0)
        file.write_bytes(authority.file.read_bytes())
        notifier.tell(message(alert()), 0)
    assert len(webhook.accepted) == 1


def test_the_receiver_s_own_proxy_is_used(webhook):
    """The proxy is asked for the receiver's address."""
    with guarded(webhook.address) as proxy:
        settings = {"name": "ops", "kind": "webhook", "url": "http://ops.invalid/hook", "proxy": proxy.address}
        notifier_of(ReceiverSettings.model_validate(settings)).tell(message(alert()), 0)
        assert proxy.targets == ["http://ops.invalid/hook"]
    assert len(webhook.accepted) == 1


def test_apprise_contacts_nobody_until_it_is_told_something():
    """Neither its import nor its understanding of an address opens a connection or asks for a name."""
    done = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Slack: the address is understood" in done.stdout
    assert "ASKED []" in done.stdout
    assert "AND THEN ['socket.connect']" in done.stdout


def test_apprise_puts_no_address_of_its_own_into_a_message(webhook):
    """No picture of its project that a chat would fetch, and no redirect that it would follow."""
    url = f"json://{webhook.address.removeprefix('http://')}/x"
    chat = notifier_of(ReceiverSettings.model_validate({"name": "chat", "kind": "apprise", "url": url}))
    chat.tell(message(alert()), 0)
    assert b"github" not in webhook.accepted[0].body
    assert "Tracewatch" in webhook.accepted[0].headers["user-agent"]
    with WebhookReceiver() as elsewhere:
        webhook.answer(307, location=elsewhere.address)
        with pytest.raises(DeliveryFailed):
            chat.tell(message(alert()), 0)
        assert elsewhere.accepted == []


def test_an_address_that_apprise_does_not_understand_is_not_repeated(caplog):
    """Neither in the error nor in the library's own log."""
    settings = {"name": "chat", "kind": "apprise", "url": "nonsense://s3cret-t0ken/x"}
    with pytest.raises(DeliveryFailed, match="does not understand") as failure:
        notifier_of(ReceiverSettings.model_validate(settings)).tell(message(alert()), 0)
    assert "s3cret-t0ken" not in str(failure.value)
    assert "s3cret-t0ken" not in caplog.text
