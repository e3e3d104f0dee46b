"""A marked alert through every receiver, so that nobody finds out in the night that pages do not arrive."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from threading import Event

from monitor.clock import Clock
from monitor.config import Config
from monitor.delivery.assembly import receiver_of
from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.links import places_of
from monitor.delivery.message import TEST_KIND, Message, Sender, message_of
from monitor.delivery.outbox import Receiver
from monitor.ledger.rows import AlertRow, Transition

_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedReceiver:
    """What came of one receiver's test."""

    name: str
    reached: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """How long an Alertmanager's test alert fires before it is ended; `stop` ends the wait, and the alert, at once.

    An Alertmanager that is told of the end within its `group_wait` drops the alert and tells nobody. `say` is told of
    the wait, by the thread that waits.
    """

    time: timedelta
    stop: Event
    say: Callable[[str], None]

    def wait(self, receiver: Receiver) -> float:
        """Wait if the receiver is an Alertmanager; the seconds that it took."""
        begun_s, hold_s = time.monotonic(), self.time.total_seconds()
        if receiver.settings.kind != "alertmanager" or not hold_s:
            return 0.0
        needed = "which has to be longer than Alertmanager's group_wait"
        self.say(f"receiver {receiver.name}: waiting {hold_s:g}s, {needed}, before it is ended")
        self.stop.wait(hold_s)
        return time.monotonic() - begun_s


def page_test(config: Config, clock: Clock, within_s: float, hold: Hold) -> Iterator[TestedReceiver]:
    """Fire and resolve a test alert at each receiver, at all of them at once; what came of it in their order.

    A receiver may take `within_s` seconds for both, besides the hold. The ledger knows nothing of it.
    """
    sender = Sender(
        app=config.app,
        labels=config.labels,
        places=places_of(config.alerts.links, config.mlflow.tracking_uri, None),
    )
    yield from tested([receiver_of(settings) for settings in config.alerts.receivers], sender, clock, within_s, hold)


def tested(
    receivers: Sequence[Receiver], sender: Sender, clock: Clock, within_s: float, hold: Hold
) -> Iterator[TestedReceiver]:
    """The same, for receivers that are built already."""
    marked = f"test-{uuid.uuid4().hex[:12]}"
    with ThreadPoolExecutor(max(1, len(receivers)), thread_name_prefix="page-test") as pool:
        yield from pool.map(lambda each: _tested(each, sender, clock, within_s, hold, marked=marked), receivers)


def _tested(
    receiver: Receiver, sender: Sender, clock: Clock, within_s: float, hold: Hold, *, marked: str
) -> TestedReceiver:
    begun_s, now_ms = time.monotonic(), clock.now_ms()
    alert = AlertRow(
        id=marked,
        kind=TEST_KIND,
        scorer="",
        segment="all",
        state="firing",
        severity=receiver.settings.severities[0],
        since_ms=now_ms,
        fired_ms=now_ms,
    )
    made = partial(_message, receiver, sender)
    result = partial(TestedReceiver, name=receiver.name)
    try:
        _told(receiver, made(alert, "fired"), clock, begun_s + within_s, hold.stop)
    except DeliveryFailed as failure:
        return result(reached=False, words=f"the test alert was not accepted: {failure}")
    held_s = hold.wait(receiver)
    try:
        over = replace(alert, state="resolved", resolved_ms=clock.now_ms())
        # Who has begun it and wants to leave still has it ended.
        _told(receiver, made(over, "resolved"), clock, begun_s + within_s + held_s, Event())
    except DeliveryFailed as failure:
        return result(reached=False, words=f"accepted {marked}, and did not accept its end: {failure}")
    took = f"{time.monotonic() - begun_s - held_s:.1f} s"
    fired = f", and held it firing for {held_s:.0f} s" if held_s else ""
    return result(reached=True, words=f"accepted {marked} and its end in {took}{fired}")


def _message(receiver: Receiver, sender: Sender, alert: AlertRow, transition: Transition) -> Message:
    return message_of(alert, transition, receiver.settings.content, sender)


def _told(receiver: Receiver, message: Message, clock: Clock, deadline_s: float, stop: Event) -> None:
    """Tell until it is accepted; at the deadline, or when it is stopped, the last failure stands."""
    while True:
        try:
            receiver.notifier.tell(message, clock.now_ms())
        except DeliveryFailed as failure:
            asked_s = max(_PAUSE_S, failure.retry_after_s or 0.0)
            if failure.refused or time.monotonic() + asked_s >= deadline_s or stop.wait(asked_s):
                raise
        else:
            return
