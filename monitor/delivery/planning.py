"""Who is to be told of what, and when again: values alone. Pure: time and chance are arguments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitor.alerts.receivers import ReceiverSettings
from monitor.ledger.rows import AlertRow, DeliveryRow, Transition

FIRST_WAIT_MS: Final = 5_000
LONGEST_WAIT_MS: Final = 300_000
SHORTEST_WAIT_MS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What receivers are to be told besides what they are owed already, and what need not be told any more."""

    owe: tuple[DeliveryRow, ...]
    cancel: tuple[DeliveryRow, ...]


def plan_of(
    alerts: Iterable[tuple[AlertRow, Sequence[DeliveryRow]]], receivers: Sequence[ReceiverSettings], now_ms: int
) -> Plan:
    """The plan, from the alerts that fire or have just ended, each with what was planned or told of it before.

    Each receiver that takes an alert is told that it fires; again when it has become worth a page after it was told of
    less; and that it is over, if it was told or is about to be told that it fires. Who does not take it any more is
    not told what it has not had yet.
    """
    owe: list[DeliveryRow] = []
    cancel: list[DeliveryRow] = []
    for alert, rows in alerts:
        for receiver in receivers:
            own = {row.transition: row for row in rows if row.receiver == receiver.name}
            fired = own.get("fired")
            if alert.state != "firing":
                if fired is not None and "resolved" not in own:
                    told = replace(alert, severity=_told_as(alert, fired, own.get("raised")))
                    owe.append(_row(told, receiver, "resolved", now_ms))
            elif not receiver.takes(alert.kind, alert.severity):
                cancel += [row for row in own.values() if row.delivered_ms is None]
            elif fired is None:
                owe.append(_row(alert, receiver, "fired", now_ms))
            elif _has_risen(alert, fired) and "raised" not in own:
                owe.append(_row(alert, receiver, "raised", now_ms))
    return Plan(owe=tuple(owe), cancel=tuple(cancel))


def wait_ms(attempts: int, chance: float, asked_s: float | None = None) -> int:
    """How long to wait after so many failures in a row: exponential with full jitter, at most five minutes.

    Args:
        attempts: failures in a row, 1 for the first.
        chance: uniform in 0..1.
        asked_s: what the receiver asks us to wait, which is waited at least.
    """
    longest = min(LONGEST_WAIT_MS, FIRST_WAIT_MS << min(attempts - 1, 10))
    jittered = SHORTEST_WAIT_MS + round(chance * (longest - SHORTEST_WAIT_MS))
    return max(jittered, round((asked_s or 0.0) * 1000))


def reminder_of(alert: AlertRow, row: DeliveryRow, receiver: ReceiverSettings, now_ms: int) -> int:
    """Which reminder this is, 0 for the first telling: the number follows from the time, so that a restart keeps it."""
    again = receiver.told_again_after
    if row.delivered_ms is None or again is None:
        return 0
    since_ms = now_ms - (alert.fired_ms if alert.fired_ms is not None else alert.since_ms)
    return max(1, since_ms // round(again.total_seconds() * 1000))


def formerly_of(alert: AlertRow, row: DeliveryRow) -> str | None:
    """The severity that the receiver was told before if the alert is worth something else now."""
    if row.transition == "raised":
        return "ticket"
    is_other = row.transition == "fired" and row.delivered_ms is not None and row.severity != alert.severity
    return row.severity if is_other and row.severity != "none" else None


def _has_risen(alert: AlertRow, fired: DeliveryRow) -> bool:
    return alert.severity == "page" and fired.severity != "page" and fired.delivered_ms is not None


def _told_as(alert: AlertRow, fired: DeliveryRow, raised: DeliveryRow | None) -> str:
    """The severity under which the receiver has it: an end under another one ends nothing at an Alertmanager."""
    latest = raised if raised is not None and raised.delivered_ms is not None else fired
    has_it = latest.delivered_ms is not None and latest.severity != "none"
    return latest.severity if has_it or alert.severity == "none" else alert.severity


def _row(alert: AlertRow, receiver: ReceiverSettings, transition: Transition, now_ms: int) -> DeliveryRow:
    return DeliveryRow(
        alert_id=alert.id,
        receiver=receiver.name,
        transition=transition,
        severity=alert.severity,
        created_ms=now_ms,
        next_attempt_ms=now_ms,
    )
