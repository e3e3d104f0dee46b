"""From alert rows to receivers that have accepted them: rows first, at least once, by the lease holder alone."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from structlog.typing import FilteringBoundLogger

from monitor.alerts.receivers import ReceiverSettings
from monitor.clock import Clock
from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.examples import TraceText, trace_ids_of
from monitor.delivery.message import Message, Sender, message_of
from monitor.delivery.notifier import Notifier
from monitor.delivery.planning import formerly_of, plan_of, reminder_of, wait_ms
from monitor.ledger.deliveries import Deliveries
from monitor.ledger.rows import AlertRow, DeliveryRow, LeaseToken

Outcome = Literal["accepted", "failed"]
TextsOf = Callable[[Sequence[str]], Mapping[str, TraceText]]

MOST_AT_ONCE: Final = 200
"""Messages that a receiver is sent at one look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """Who is told, and the way to it."""

    settings: ReceiverSettings
    notifier: Notifier

    @property
    def name(self) -> str:
        """Its name."""
        return self.settings.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """What receivers are owed and the sending of it. State is in the ledger, so that a restart goes on.

    `sender` is asked at each message, as MLflow may not be known at the start; `go_on` says no when the process ends.
    """

    deliveries: Deliveries
    receivers: Sequence[Receiver]
    sender: Callable[[], Sender]
    texts_of: TextsOf
    count: Callable[[str, Outcome], None]
    go_on: Callable[[], bool]
    clock: Clock
    log: FilteringBoundLogger

    def note(self, token: LeaseToken) -> None:
        """Write down what receivers are to be told of the alerts as they are now.

        Raises:
            LedgerUnavailable: the ledger does not answer.
            LeaseLost: another replica holds the lease.
        """
        if not self.receivers:
            return
        settings = [each.settings for each in self.receivers]
        plan = plan_of(self.deliveries.untold(), settings, self.clock.now_ms())
        if plan.owe:
            self.deliveries.owe(plan.owe, token)
        if plan.cancel:
            self.deliveries.cancel(plan.cancel, token)

    def send(self, receiver: Receiver, token: LeaseToken) -> None:
        """Tell a receiver what is due. The first failure that is its own ends the look: the rest waits with it.

        Raises:
            LedgerUnavailable: the ledger does not answer.
            LeaseLost: another replica holds the lease; it tells the rest.
        """
        repeats = receiver.settings.told_again_after is not None
        due = self.deliveries.due(receiver.name, self.clock.now_ms(), MOST_AT_ONCE, repeats=repeats)
        for row, alert in due:
            is_needless = _is_unwanted(receiver, row, alert) and not _holds_it_firing(receiver, row)
            if not self.go_on() or (not is_needless and not self._tell(receiver, row, alert, token)):
                return

    def _tell(self, receiver: Receiver, row: DeliveryRow, alert: AlertRow, token: LeaseToken) -> bool:
        """Make one attempt; says whether another message may be tried."""
        begun_ms = self.clock.now_ms()
        patience_ms = round(receiver.settings.timeout.total_seconds() * 1000)
        if not self.deliveries.begin(row, begun_ms + patience_ms + self._wait_ms(row), token):
            return False
        try:
            receiver.notifier.tell(self._message(receiver, row, alert, begun_ms), begun_ms)
        except DeliveryFailed as failure:
            self._failed(receiver, row, failure, token)
            return failure.refused
        now_ms = self.clock.now_ms()
        again = receiver.settings.told_again_after
        next_ms = now_ms if again is None else now_ms + round(again.total_seconds() * 1000)
        severity = row.severity if row.transition == "resolved" else alert.severity
        if _is_unwanted(receiver, row, alert):
            severity = "none"
        self.deliveries.delivered(row, severity, now_ms, next_ms, token)
        self.count(receiver.name, "accepted")
        if row.delivered_ms is None:
            self.log.info("alert delivered", receiver=receiver.name, alert=alert.id, transition=row.transition)
        return True

    def _failed(self, receiver: Receiver, row: DeliveryRow, failure: DeliveryFailed, token: LeaseToken) -> None:
        next_ms = self.clock.now_ms() + self._wait_ms(row, failure.retry_after_s)
        self.deliveries.failed(row, str(failure), next_ms, token, for_all=not failure.refused)
        self.count(receiver.name, "failed")
        self.log.warning(
            "alert not delivered",
            receiver=receiver.name,
            alert=row.alert_id,
            transition=row.transition,
            attempts=row.attempts + 1,
            cause=str(failure),
        )

    def _message(self, receiver: Receiver, row: DeliveryRow, alert: AlertRow, now_ms: int) -> Message:
        content = receiver.settings.content
        shows_texts = content == "redacted" and row.transition != "resolved"
        texts = self.texts_of(trace_ids_of(alert.details)) if shows_texts else {}
        if _is_unwanted(receiver, row, alert):
            over = replace(alert, state="resolved", severity=row.severity, resolved_ms=now_ms)
            return message_of(over, "resolved", content, self.sender())
        reminder = reminder_of(alert, row, receiver.settings, now_ms)
        formerly = formerly_of(alert, row)
        if row.transition == "resolved":
            alert = replace(alert, severity=row.severity)
        return message_of(
            alert, row.transition, content, self.sender(), texts=texts, reminder=reminder, formerly=formerly
        )

    def _wait_ms(self, row: DeliveryRow, asked_s: float | None = None) -> int:
        return wait_ms(row.attempts + 1, random.random(), asked_s)  # noqa: S311 - spreads attempts, hides nothing


def _is_unwanted(receiver: Receiver, row: DeliveryRow, alert: AlertRow) -> bool:
    """Whether the receiver was told of an alert that it does not take any more."""
    return row.delivered_ms is not None and not receiver.settings.takes(alert.kind, alert.severity)


def _holds_it_firing(receiver: Receiver, row: DeliveryRow) -> bool:
    """Whether it goes on telling people of what it was told until it hears that it is over, which it has not."""
    return receiver.settings.kind == "alertmanager" and row.severity != "none"
