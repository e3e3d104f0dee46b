"""A marked alert through every receiver, so that nobody finds out in the night that pages do not arrive."""

import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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


def page_test(config: Config, clock: Clock, within_s: float) -> Iterator[TestedReceiver]:
    """Fire and resolve a test alert at each receiver, at all of them at once; what came of it in their order.

    A receiver may take `within_s` seconds for both. The ledger knows nothing of it.
    """
    sender = Sender(
        app=config.app,
        labels=config.labels,
        places=places_of(config.alerts.links, config.mlflow.tracking_uri, None),
    )
    yield from tested([receiver_of(settings) for settings in config.alerts.receivers], sender, clock, within_s)


def tested(receivers: Sequence[Receiver], sender: Sender, clock: Clock, within_s: float) -> Iterator[TestedReceiver]:
    """The same, for receivers that are built already."""
    marked = f"test-{uuid.uuid4().hex[:12]}"
    with ThreadPoolExecutor(max(1, len(receivers)), thread_name_prefix="page-test") as pool:
        yield from pool.map(lambda each: _tested(each, sender, clock, within_s, marked), receivers)


def _tested(receiver: Receiver, sender: Sender, clock: Clock, within_s: float, marked: str) -> TestedReceiver:
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
        _told(receiver, made(alert, "fired"), clock, begun_s + within_s)
    except DeliveryFailed as failure:
        return result(reached=False, words=f"the test alert was not accepted: {failure}")
    try:
        over = replace(alert, state="resolved", resolved_ms=clock.now_ms())
        _told(receiver, made(over, "resolved"), clock, begun_s + within_s)
    except DeliveryFailed as failure:
        return result(reached=False, words=f"accepted {marked}, and did not accept its end: {failure}")
    return result(reached=True, words=f"accepted {marked} and its end in {time.monotonic() - begun_s:.1f} s")


def _message(receiver: Receiver, sender: Sender, alert: AlertRow, transition: Transition) -> Message:
    return message_of(alert, transition, receiver.settings.content, sender)


def _told(receiver: Receiver, message: Message, clock: Clock, deadline_s: float) -> None:
    """Tell until it is accepted; at the deadline the last failure stands."""
    pause = Event()
    while True:
        try:
            receiver.notifier.tell(message, clock.now_ms())
        except DeliveryFailed as failure:
            asked_s = max(_PAUSE_S, failure.retry_after_s or 0.0)
            if failure.refused or time.monotonic() + asked_s >= deadline_s:
                raise
            pause.wait(asked_s)
        else:
            return
