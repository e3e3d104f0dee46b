"""What every notifier does: one suite on the form in memory and on real peers."""

import time
from dataclasses import replace

import pytest

from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.links import Places
from monitor.delivery.message import Message, Sender, message_of
from monitor.ledger.rows import AlertRow, Transition

SENDER = Sender(app="shop", labels={"team": "growth"}, places=Places(runbooks="https://docs.example/runbooks"))
HOSTILE = (
    "{{ .Labels }} {scorer} %s \\n @channel <!here> </b><script>alert(1)</script> \x1b[31m\u202e [x](http://bad) :bomb:"
)


def alert(**given: object) -> AlertRow:
    """A regression that fires since a minute ago."""
    now_ms = time.time_ns() // 1_000_000
    row = AlertRow(
        id="0123456789abcdef",
        kind="production_regression",
        scorer="safety",
        segment="all",
        state="firing",
        severity="page",
        since_ms=now_ms - 60_000,
        fired_ms=now_ms - 50_000,
        details={"before": 0.91, "after": 0.74, "verdicts": 412},
    )
    return replace(row, **given)  # type: ignore[arg-type]


def message(row: AlertRow, transition: Transition = "fired") -> Message:
    return message_of(row, transition, "links", SENDER)


def tell(peer, row: AlertRow, transition: Transition = "fired") -> None:
    peer.notifier.tell(message(row, transition), time.time_ns() // 1_000_000)


def test_an_alert_arrives_with_its_proof_and_its_end(peer):
    """It is there when `tell` returns; the end is told as such, or the alert is gone."""
    tell(peer, alert())
    [(told, over, text)] = peer.told()
    assert (told, over) == ("0123456789abcdef", False)
    assert "shop: safety has regressed in production (all)" in text
    assert "pass rate before: 0.91" in text
    tell(peer, alert(state="resolved", resolved_ms=time.time_ns() // 1_000_000), "resolved")
    assert all(over for _, over, _ in peer.told()[1:])
    assert len(peer.told()) in (0, 2)


def test_who_is_away_fails_and_takes_the_same_message_later(peer):
    """The failure names no secret, and nothing has to be built anew afterwards."""
    peer.go_away()
    with pytest.raises(DeliveryFailed) as failure:
        tell(peer, alert())
    assert not failure.value.refused
    assert [secret for secret in peer.secrets if secret in str(failure.value)] == []
    peer.come_back()
    tell(peer, alert())
    assert [told for told, _, _ in peer.told()] == ["0123456789abcdef"]


def test_a_strangers_text_arrives_as_text(peer):
    """Templates, formats, escapes, markup and mentions in names, labels and proof act on nobody."""
    details = {"first_version": HOSTILE, "explained_by": [{"segment": HOSTILE, "pass_rate": 0.1}], "warning": HOSTILE}
    tell(peer, alert(segment=f"app_version={HOSTILE}", scorer=HOSTILE, details=details))
    [(_, _, text)] = peer.told()
    assert "{{ .Labels }} {scorer} %s \\n (at)channel [!here] [/b][script]alert(1)" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "@channel" not in text
    assert "http://bad" not in text
    assert ":bomb:" in text


def test_a_sign_of_life_tells_nobody_anything(peer):
    """`check` asks for it."""
    assert peer.notifier.probe()
    assert peer.told() == []


@pytest.mark.parametrize("kind", ["memory", "webhook", "alertmanager"])
def test_who_is_away_gives_no_sign_of_life(request, kind):
    """The services of apprise can only be told something."""
    peer = request.getfixturevalue(f"{kind}_peer")
    peer.go_away()
    with pytest.raises(DeliveryFailed):
        peer.notifier.probe()
