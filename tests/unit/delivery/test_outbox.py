"""From alert rows to receivers: at least once, once where nothing dies, in order, by the lease holder alone."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from monitor.alerts.receivers import ReceiverSettings
from monitor.clock import ManualClock
from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.examples import TraceText
from monitor.delivery.links import Places
from monitor.delivery.message import Message, Sender
from monitor.delivery.notifier import MemoryNotifier
from monitor.delivery.outbox import Outbox, Receiver
from monitor.ledger import AlertRow, LeaseLost, LeaseToken, Ledger, open_ledger

NOW_MS = 1_790_000_000_000
AWAY = DeliveryFailed("connection refused")
PENDING = AlertRow(
    id="a1",
    kind="production_regression",
    scorer="safety",
    segment="all",
    state="pending",
    severity="page",
    since_ms=NOW_MS,
    details={"examples": [{"trace_id": "tr-1", "good": {"trace_id": "tr-0"}}]},
)
FIRING = replace(PENDING, state="firing", fired_ms=NOW_MS)
OVER = replace(FIRING, state="resolved", resolved_ms=NOW_MS + 60_000)


@dataclass(kw_only=True)
class Stage:
    """A ledger, receivers in memory, and the outbox of a process that may be started anew."""

    ledger: Ledger
    receivers: list[Receiver]
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW_MS))
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    goes_on: bool = True

    def __post_init__(self) -> None:
        token = self.ledger.lease.acquire("leader", "me", 3600.0, NOW_MS)
        assert token is not None
        self.token: LeaseToken = token
        self.outbox = self.start()

    def start(self) -> Outbox:
        """The outbox of a process that has just begun."""

        def count(receiver: str, outcome: str) -> None:
            self.counted[receiver, outcome] += 1

        def texts_of(trace_ids: Sequence[str]) -> Mapping[str, TraceText]:
            self.texts += trace_ids
            return {}

        return Outbox(
            deliveries=self.ledger.deliveries,
            receivers=self.receivers,
            sender=lambda: Sender(app="shop", places=Places(runbooks="docs/runbooks")),
            texts_of=texts_of,
            count=count,
            go_on=lambda: self.goes_on,
            clock=self.clock,
            log=structlog.get_logger(),
        )

    def alert(self, row: AlertRow) -> None:
        """What `alerting` does at a look."""
        self.ledger.alerts.save(row, self.token)
        self.outbox.note(self.token)

    def send(self) -> None:
        """A look of every receiver's duty."""
        for receiver in self.receivers:
            self.outbox.send(receiver, self.token)

    def later(self, seconds: float) -> None:
        """Let time pass, then look."""
        self.clock.advance(timedelta(seconds=seconds))
        self.send()

    def told(self, number: int = 0) -> list[str]:
        """The ids of the messages that a receiver has."""
        return [message.id for message in self.messages(number)]

    def messages(self, number: int = 0) -> list[Message]:
        """The messages that a receiver has."""
        return self.notifier(number).told

    def notifier(self, number: int = 0) -> MemoryNotifier:
        """The receiver's own end."""
        found = self.receivers[number].notifier
        assert isinstance(found, MemoryNotifier)
        return found


def receiver(name: str = "ops", **keys: Any) -> Receiver:
    settings = {"name": name, "kind": "webhook", "url": "http://ops.example", **keys}
    return Receiver(settings=ReceiverSettings.model_validate(settings), notifier=MemoryNotifier())


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A fresh ledger on SQLite."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


@pytest.fixture
def stage(ledger: Ledger) -> Stage:
    """One receiver."""
    return Stage(ledger=ledger, receivers=[receiver()])


def test_one_regression_is_one_page_and_one_end(stage):
    """A pending alert is nobody's business; each look after the first finds nothing to tell."""
    stage.alert(PENDING)
    stage.send()
    stage.alert(FIRING)
    for _ in range(5):
        stage.later(10)
    stage.alert(OVER)
    for _ in range(5):
        stage.later(10)
    assert stage.told() == ["a1.fired", "a1.resolved"]
    assert stage.counted == {("ops", "accepted"): 2}


def test_a_restart_neither_repeats_nor_forgets(stage):
    """What was accepted before it is not told again; what was owed before it is told after it."""
    stage.alert(FIRING)
    stage.send()
    stage.outbox = stage.start()
    stage.outbox.note(stage.token)
    stage.later(3600)
    assert stage.told() == ["a1.fired"]
    stage.alert(OVER)
    stage.outbox = stage.start()
    stage.send()
    assert stage.told() == ["a1.fired", "a1.resolved"]


def test_an_alert_is_told_whose_look_was_cut_off(stage):
    """A holder dies after it has written the alert and before it has noted whom to tell: its successor notes it."""
    stage.ledger.alerts.save(FIRING, stage.token)
    stage.outbox = stage.start()
    stage.outbox.note(stage.token)
    stage.ledger.alerts.save(OVER, stage.token)
    stage.outbox.note(stage.token)
    stage.send()
    stage.send()
    assert stage.told() == ["a1.fired", "a1.resolved"]
    assert stage.messages()[0].title.startswith("[FIRED, OVER, page]")


def test_a_receiver_that_is_down_loses_nothing_and_is_not_hammered(stage):
    """Hours of attempts, ever rarer and at most every five minutes; then all of it in order, each once."""
    stage.notifier().trouble = AWAY
    stage.alert(FIRING)
    stage.alert(replace(FIRING, id="a2", scorer="concise"))
    stage.alert(OVER)
    for _ in range(6 * 60):
        stage.later(10)
    assert stage.told() == []
    # One attempt at a time for both alerts: of the two, about one every two and a half minutes.
    assert 12 <= stage.counted["ops", "failed"] <= 60
    assert stage.ledger.deliveries.states(["ops"], stage.clock.now_ms())["ops"].failing
    stage.notifier().trouble = None
    for _ in range(40):
        stage.later(10)
    assert sorted(stage.told()) == ["a1.fired", "a1.resolved", "a2.fired"]
    assert stage.told().index("a1.fired") < stage.told().index("a1.resolved")
    assert not stage.ledger.deliveries.states(["ops"], stage.clock.now_ms())["ops"].failing


def test_a_receiver_that_is_down_is_asked_once_however_much_it_is_owed(stage):
    """Its other messages wait with the one that failed: for a second at least."""
    stage.notifier().trouble = AWAY
    for number in range(20):
        stage.alert(replace(FIRING, id=f"b{number}", scorer=f"scorer {number}"))
    stage.send()
    assert stage.counted == {("ops", "failed"): 1}
    stage.later(0.9)
    assert stage.counted == {("ops", "failed"): 1}


def test_a_message_that_is_refused_holds_up_no_other(stage):
    """The receiver takes others: they are tried in the same look."""

    class Picky(MemoryNotifier):
        def tell(self, message: Message, now_ms: int) -> None:
            if message.alert.id == "a1":
                raise DeliveryFailed("too long", refused=True)
            super().tell(message, now_ms)

    stage.receivers[0] = Receiver(settings=stage.receivers[0].settings, notifier=Picky())
    stage.alert(FIRING)
    stage.alert(replace(FIRING, id="a2", scorer="concise"))
    stage.send()
    assert stage.told() == ["a2.fired"]


def test_a_receiver_that_asks_for_patience_gets_it(stage):
    """`Retry-After` of half an hour: nothing is sent before."""
    stage.notifier().trouble = DeliveryFailed("slow down", retry_after_s=1800)
    stage.alert(FIRING)
    stage.send()
    stage.notifier().trouble = None
    stage.later(1799)
    assert stage.told() == []
    stage.later(1)
    assert stage.told() == ["a1.fired"]


def test_one_receiver_that_is_down_is_no_other_s_business(ledger):
    """Each has rows of its own."""
    stage = Stage(ledger=ledger, receivers=[receiver("ops"), receiver("chat")])
    stage.notifier(0).trouble = AWAY
    stage.alert(FIRING)
    stage.send()
    assert stage.told(1) == ["a1.fired"]
    states = ledger.deliveries.states(["ops", "chat"], stage.clock.now_ms())
    assert (states["ops"].owed, states["ops"].last_error) == (1, "connection refused")
    assert states["chat"].owed == 0


def test_who_has_lost_the_lease_tells_nobody(stage):
    """Its token is looked at before a message is sent: a replica that wakes after an hour does not page."""
    stage.alert(FIRING)
    assert stage.ledger.lease.acquire("leader", "another", 60.0, NOW_MS + 3_600_001) is not None
    with pytest.raises(LeaseLost):
        stage.send()
    with pytest.raises(LeaseLost):
        stage.alert(OVER)
    assert stage.told() == []


def test_a_lease_lost_while_a_message_is_on_its_way_repeats_it_under_the_same_id(stage):
    """The next holder cannot know that it arrived: at least once, and to be known by its id."""

    class LosesLease(MemoryNotifier):
        def tell(self, message: Message, now_ms: int) -> None:
            super().tell(message, now_ms)
            stage.ledger.lease.acquire("leader", "another", 3600.0, NOW_MS + 3_600_001)

    stage.receivers[0] = Receiver(settings=stage.receivers[0].settings, notifier=LosesLease())
    stage.alert(FIRING)
    with pytest.raises(LeaseLost):
        stage.send()
    taken = stage.ledger.lease.acquire("leader", "another", 3600.0, NOW_MS + 3_600_001)
    assert taken is not None
    stage.token = taken
    for _ in range(3):
        stage.later(10)
    assert stage.told() == ["a1.fired", "a1.fired"]


def test_nobody_is_told_of_what_is_worth_nothing_or_is_only_observed(ledger):
    """Severity `none`; and without receivers no row is written."""
    stage = Stage(ledger=ledger, receivers=[receiver()])
    stage.alert(replace(FIRING, severity="none"))
    stage.send()
    assert stage.told() == []
    observing = Stage(ledger=ledger, receivers=[])
    observing.alert(FIRING)
    assert ledger.deliveries.untold() == [(FIRING, [])]


def test_a_ticket_that_becomes_a_page_pages(stage):
    """As the day's spend does, from 80 % to all of it; its end is told once."""
    stage.alert(replace(FIRING, severity="ticket"))
    stage.send()
    stage.alert(FIRING)
    stage.later(10)
    stage.later(10)
    stage.alert(OVER)
    stage.later(10)
    assert stage.told() == ["a1.fired", "a1.raised", "a1.resolved"]
    assert [message.labels["severity"] for message in stage.messages()] == ["ticket", "page", "page"]


def test_an_alertmanager_is_told_every_minute_until_the_end(ledger):
    """A reminder that fails is tried again soon: the alert must not end for want of it."""
    stage = Stage(ledger=ledger, receivers=[receiver("am", kind="alertmanager")])
    stage.alert(FIRING)
    stage.send()
    for _ in range(12):
        stage.later(10)
    assert len(stage.told()) == 3
    stage.notifier().trouble = AWAY
    for _ in range(6):
        stage.later(10)
    stage.notifier().trouble = None
    for _ in range(3):
        stage.later(10)
    assert len(stage.told()) == 4
    stage.alert(OVER)
    for _ in range(12):
        stage.later(10)
    assert stage.told()[-1] == "a1.resolved"
    assert len(stage.told()) == 5


def test_reminders_end_with_what_they_are_worth(ledger):
    """An operator has silenced the kind by configuration: Alertmanager is told once that it is over, as it knew it."""
    stage = Stage(ledger=ledger, receivers=[receiver("am", kind="alertmanager")])
    stage.alert(FIRING)
    stage.send()
    stage.alert(replace(FIRING, severity="none"))
    for _ in range(12):
        stage.later(10)
    assert stage.told() == ["a1.fired", "a1.resolved"]
    over = stage.messages()[1]
    assert (over.is_over, over.labels["severity"]) == (True, "page")


@pytest.mark.parametrize(("before", "after"), [("ticket", "page"), ("page", "ticket")])
def test_an_alertmanager_hears_what_an_alert_is_worth_no_more(ledger, before, after):
    """Under another severity it is another alert there, and the old one would fire on; it is told so once."""
    stage = Stage(ledger=ledger, receivers=[receiver("am", kind="alertmanager")])
    stage.alert(replace(FIRING, severity=before))
    stage.send()
    stage.alert(replace(FIRING, severity=after))
    for _ in range(12):
        stage.later(10)
    changed = [(each.labels["severity"], each.formerly) for each in stage.messages()]
    assert changed[0] == (before, None)
    assert (after, before) in changed
    assert changed[-1] == (after, None)


def test_texts_are_read_only_for_those_who_may_see_them(ledger):
    """MLflow is asked for the examples and the good answers beside them."""
    stage = Stage(ledger=ledger, receivers=[receiver("links"), receiver("texts", content="redacted")])
    stage.alert(FIRING)
    stage.outbox.send(stage.receivers[0], stage.token)
    assert stage.texts == []
    stage.outbox.send(stage.receivers[1], stage.token)
    assert stage.texts == ["tr-1", "tr-0"]


def test_a_process_that_ends_begins_no_further_message(stage):
    """What is owed waits for its successor."""
    stage.alert(FIRING)
    stage.goes_on = False
    stage.send()
    assert stage.told() == []
    stage.goes_on = True
    stage.send()
    assert stage.told() == ["a1.fired"]
