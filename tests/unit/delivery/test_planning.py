"""Who is to be told of what, and when again."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.planning import LONGEST_WAIT_MS, SHORTEST_WAIT_MS, plan_of, reminder_of, wait_ms
from monitor.ledger.rows import AlertRow, DeliveryRow

FIRING = AlertRow(
    id="1",
    kind="production_regression",
    scorer="safety",
    segment="all",
    state="firing",
    severity="page",
    since_ms=0,
    fired_ms=10,
)
OVER = replace(FIRING, state="resolved", resolved_ms=20)
TOLD = DeliveryRow(
    alert_id="1",
    receiver="ops",
    transition="fired",
    severity="page",
    created_ms=10,
    next_attempt_ms=10,
    delivered_ms=11,
)


def receiver(name: str = "ops", **keys: Any) -> ReceiverSettings:
    return ReceiverSettings.model_validate({"name": name, "kind": "webhook", "url": "http://ops.example", **keys})


def planned(alert: AlertRow, rows: list[DeliveryRow], *receivers: ReceiverSettings) -> list[tuple[str, str, str]]:
    plan = plan_of([(alert, rows)], receivers or [receiver()], 99)
    assert all(row.created_ms == row.next_attempt_ms == 99 for row in plan.owe)
    return [(row.receiver, row.transition, row.severity) for row in plan.owe]


def test_an_alert_that_fires_is_owed_to_all_who_take_it_and_to_nobody_twice():
    """What is owed or told already is not planned again."""
    receivers = receiver("ops"), receiver("chat"), receiver("tickets", severities=["ticket"])
    assert planned(FIRING, [], *receivers) == [("ops", "fired", "page"), ("chat", "fired", "page")]
    assert planned(FIRING, [TOLD], *receivers) == [("chat", "fired", "page")]
    assert planned(replace(FIRING, severity="none"), [], *receivers) == []


def test_an_end_is_owed_to_those_who_are_told_of_the_beginning():
    """Also to who has not accepted that yet, and to who takes no such alerts any more; to nobody else."""
    assert planned(OVER, [TOLD], receiver("ops"), receiver("chat")) == [("ops", "resolved", "page")]
    assert planned(OVER, [replace(TOLD, delivered_ms=None)]) == [("ops", "resolved", "page")]
    assert planned(OVER, [TOLD], receiver("ops", severities=["ticket"])) == [("ops", "resolved", "page")]
    assert planned(OVER, [TOLD, replace(TOLD, transition="resolved")]) == []


def test_an_end_is_told_under_the_severity_that_the_receiver_has():
    """It became a ticket, and ended before that was told: an Alertmanager would go on paging for hours."""
    over = replace(OVER, severity="ticket")
    raised = replace(TOLD, transition="raised")
    assert planned(over, [TOLD]) == [("ops", "resolved", "page")]
    assert planned(over, [replace(TOLD, severity="ticket"), raised]) == [("ops", "resolved", "page")]
    assert planned(over, [replace(TOLD, delivered_ms=None)]) == [("ops", "resolved", "ticket")]
    assert planned(replace(OVER, severity="none"), [TOLD]) == [("ops", "resolved", "page")]


def test_a_ticket_that_becomes_a_page_is_told_again_once():
    """Not before the ticket was told: then that tells of the page. A page that becomes a ticket wakes nobody."""
    ticket = replace(TOLD, severity="ticket")
    assert planned(FIRING, [ticket]) == [("ops", "raised", "page")]
    assert planned(FIRING, [ticket, replace(TOLD, transition="raised")]) == []
    assert planned(FIRING, [replace(ticket, delivered_ms=None)]) == []
    assert planned(replace(FIRING, severity="ticket"), [TOLD]) == []


def test_who_does_not_take_it_any_more_is_not_told_what_is_still_owed():
    """An alert that has become worth nothing is not delivered late."""
    row = replace(TOLD, delivered_ms=None)
    plan = plan_of([(replace(FIRING, severity="none"), [row, replace(row, receiver="gone")])], [receiver()], 99)
    assert plan.cancel == (row,)
    assert plan.owe == ()


@given(attempts=st.integers(1, 10_000), chance=st.floats(0, 1), asked=st.none() | st.floats(0, 3600))
def test_waits_are_bounded_and_no_shorter_than_asked(attempts, chance, asked):
    """From one second to five minutes, whatever the number of failures; longer if the receiver says so."""
    found = wait_ms(attempts, chance, asked)
    assert SHORTEST_WAIT_MS <= found <= max(LONGEST_WAIT_MS, round((asked or 0) * 1000))
    assert found >= round((asked or 0) * 1000)


def test_waits_grow_and_are_spread_over_all_of_their_length():
    """Full jitter: two receivers that fail together are not tried together."""
    assert [wait_ms(attempts, 1.0) for attempts in (1, 2, 3, 7, 50)] == [5_000, 10_000, 20_000, 300_000, 300_000]
    assert [wait_ms(5, chance) for chance in (0.0, 0.5)] == [1_000, 40_500]


@pytest.mark.parametrize(("now_ms", "number"), [(11, 1), (60_009, 1), (130_010, 2), (130_500, 2), (600_010, 10)])
def test_a_reminder_s_number_follows_from_the_time(now_ms, number):
    """The same after a restart, so that its id is the same; the first telling has none."""
    minutely = receiver(repeat="1m")
    assert reminder_of(FIRING, TOLD, minutely, now_ms) == number
    assert reminder_of(FIRING, replace(TOLD, delivered_ms=None), minutely, now_ms) == 0
    assert reminder_of(FIRING, TOLD, receiver(), now_ms) == 0
