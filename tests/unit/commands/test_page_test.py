"""The test alert: an Alertmanager's fires for a time before it is ended, the others' need not."""

from datetime import timedelta
from threading import Event

import pytest

from monitor.alerts.receivers import ReceiverSettings
from monitor.clock import SystemClock
from monitor.commands import page_test
from monitor.commands.page_test import Hold
from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.links import Places
from monitor.delivery.message import Sender
from monitor.delivery.notifier import MemoryNotifier
from monitor.delivery.outbox import Receiver

SENDER = Sender(app="shop", places=Places(runbooks="docs/runbooks"))
FOR_EVER = timedelta(days=1)


class Heard:
    """What was said of waits, and what the receiver had been told by then; the first wait is cut short."""

    def __init__(self, notifier: MemoryNotifier) -> None:
        self.words: list[str] = []
        self.told_by_then: list[str] = []
        self.stop = Event()
        self._notifier = notifier

    def say(self, words: str) -> None:
        """Keep it, and stop."""
        self.words.append(words)
        self.told_by_then += [each.transition for each in self._notifier.told]
        self.stop.set()


def receiver(kind: str, notifier: MemoryNotifier) -> Receiver:
    settings = ReceiverSettings.model_validate({"name": "ops", "kind": kind, "url": "http://127.0.0.1:1"})
    return Receiver(settings=settings, notifier=notifier)


@pytest.mark.parametrize(("kind", "held"), [("alertmanager", True), ("webhook", False)])
def test_an_alertmanager_hears_of_the_end_after_the_hold_which_a_stop_cuts_short(kind: str, held: bool) -> None:
    """It says so while only the firing was told; whoever groups nothing is told both without a wait."""
    notifier = MemoryNotifier()
    heard = Heard(notifier)
    hold = Hold(time=FOR_EVER, stop=heard.stop, say=heard.say)
    [result] = page_test.tested([receiver(kind, notifier)], SENDER, SystemClock(), 60.0, hold)
    assert result.reached
    assert [each.transition for each in notifier.told] == ["fired", "resolved"]
    assert heard.told_by_then == (["fired"] if held else [])
    assert ["waiting 86400s" in words for words in heard.words] == ([True] if held else [])


def test_without_a_hold_nobody_waits() -> None:
    """Both are told at once, and nothing is said of waiting."""
    notifier = MemoryNotifier()
    heard = Heard(notifier)
    hold = Hold(time=timedelta(0), stop=heard.stop, say=heard.say)
    [result] = page_test.tested([receiver("alertmanager", notifier)], SENDER, SystemClock(), 60.0, hold)
    assert result.reached
    assert [each.transition for each in notifier.told] == ["fired", "resolved"]
    assert heard.words == []


def test_the_hold_is_no_part_of_the_time_that_a_receiver_may_take() -> None:
    """Its end is tried even if the hold was longer than that."""
    notifier = MemoryNotifier()
    hold = Hold(time=timedelta(seconds=0.2), stop=Event(), say=lambda _words: None)
    [result] = page_test.tested([receiver("alertmanager", notifier)], SENDER, SystemClock(), 0.1, hold)
    assert result.reached, result.words


def test_a_stop_gives_up_on_who_does_not_accept_that_it_fires() -> None:
    """Nobody waits out the time of a receiver that is down after Ctrl-C."""
    notifier = MemoryNotifier()
    notifier.trouble = DeliveryFailed("connection refused")
    stop = Event()
    stop.set()
    hold = Hold(time=FOR_EVER, stop=stop, say=lambda _words: None)
    [result] = page_test.tested([receiver("webhook", notifier)], SENDER, SystemClock(), 86_400.0, hold)
    assert not result.reached
    assert "connection refused" in result.words
