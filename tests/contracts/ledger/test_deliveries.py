"""The rows of what receivers are told, on SQLite and on PostgreSQL."""

from dataclasses import replace

from monitor.ledger import DeliveryRow, Ledger, RetentionSettings
from tests.contracts.ledger.ledger_rows import alert, delivery

FIRING = alert(state="firing", fired_ms=5)
OVER = replace(FIRING, state="resolved", resolved_ms=9)
ENDED = delivery(transition="resolved", created_ms=9, next_attempt_ms=9)


def due(ledger: Ledger, now_ms: int, *, repeats: bool = False) -> list[tuple[str, str]]:
    return [(row.alert_id, row.transition) for row, _ in ledger.deliveries.due("ops", now_ms, 9, repeats=repeats)]


def stored(ledger: Ledger) -> list[DeliveryRow]:
    return [row for _, rows in ledger.deliveries.untold() for row in rows]


def test_a_row_is_owed_once_and_due_from_its_time_on(ledger: Ledger) -> None:
    """Owing it again, as after a restart, leaves it as it is; another receiver's rows are not ours."""
    ledger.alerts.save(FIRING, None)
    ledger.deliveries.owe([delivery(next_attempt_ms=10), delivery(receiver="chat")], None)
    ledger.deliveries.owe([delivery(next_attempt_ms=1, created_ms=7)], None)
    assert due(ledger, 9) == []
    assert due(ledger, 10) == [("1", "fired")]
    [(row, told)] = ledger.deliveries.due("ops", 10, 9)
    assert (row, told) == (delivery(next_attempt_ms=10), FIRING)


def test_an_attempt_is_noted_before_it_is_made_and_by_one_alone(ledger: Ledger, other: Ledger) -> None:
    """Who dies in it does not make the next one at once; of two that have read the same row one begins."""
    ledger.alerts.save(FIRING, None)
    ledger.deliveries.owe([delivery()], None)
    assert ledger.deliveries.begin(delivery(), 50, None)
    assert not other.deliveries.begin(delivery(), 50, None)
    assert due(ledger, 49) == []
    assert ledger.deliveries.due("ops", 50, 9)[0][0].attempts == 1


def test_what_was_accepted_is_never_due_again_but_as_a_reminder(ledger: Ledger) -> None:
    """A reminder is due at its time while the alert fires, and not after it is over."""
    ledger.alerts.save(FIRING, None)
    ledger.deliveries.owe([delivery()], None)
    ledger.deliveries.delivered(delivery(), "page", now_ms=20, next_attempt_ms=80, token=None)
    assert due(ledger, 1000) == []
    assert due(ledger, 79, repeats=True) == []
    assert due(ledger, 80, repeats=True) == [("1", "fired")]
    [row] = stored(ledger)
    ledger.deliveries.delivered(row, "page", now_ms=81, next_attempt_ms=141, token=None)
    assert stored(ledger)[0].delivered_ms == 20
    ledger.alerts.save(OVER, None)
    assert due(ledger, 1000, repeats=True) == []


def test_the_end_waits_until_the_beginning_was_accepted(ledger: Ledger) -> None:
    """A receiver is never told of the end of what it has not heard of; both are told however late."""
    ledger.alerts.save(OVER, None)
    ledger.deliveries.owe([delivery(), ENDED], None)
    assert due(ledger, 1000) == [("1", "fired")]
    ledger.deliveries.delivered(delivery(), "page", now_ms=20, next_attempt_ms=20, token=None)
    assert due(ledger, 1000) == [("1", "resolved")]
    assert ledger.deliveries.untold() == []


def test_alerts_stay_untold_until_their_end_is_planned_for_those_who_were_told(ledger: Ledger) -> None:
    """One that fires always is; one that is over where its end is owed to nobody yet; one nobody heard of is not."""
    ledger.alerts.save(alert(id="pending"), None)
    ledger.alerts.save(replace(OVER, id="nobody"), None)
    ledger.alerts.save(FIRING, None)
    assert ledger.deliveries.untold() == [(FIRING, [])]
    ledger.deliveries.owe([delivery(), delivery(receiver="chat")], None)
    ledger.alerts.save(OVER, None)
    ledger.deliveries.owe([ENDED], None)
    [(row, rows)] = ledger.deliveries.untold()
    assert row == OVER
    assert sorted((each.receiver, each.transition) for each in rows) == [
        ("chat", "fired"),
        ("ops", "fired"),
        ("ops", "resolved"),
    ]


def test_a_failure_of_the_receiver_holds_all_its_messages_and_a_success_frees_them(ledger: Ledger) -> None:
    """One that is refused waits alone; reminders wait with the rest."""
    ledger.alerts.save(FIRING, None)
    ledger.alerts.save(replace(FIRING, id="2"), None)
    second = delivery(alert_id="2", created_ms=2)
    ledger.deliveries.owe([delivery(), second, delivery(receiver="chat")], None)
    ledger.deliveries.begin(delivery(), 50, None)
    ledger.deliveries.failed(delivery(), "refused", 60, None, for_all=False)
    assert due(ledger, 59) == [("2", "fired")]
    ledger.deliveries.failed(delivery(), "away", 90, None, for_all=True)
    assert due(ledger, 89) == []
    assert [row.receiver for row, _ in ledger.deliveries.due("chat", 89, 9)] == ["chat"]
    [(failed, _), _] = ledger.deliveries.due("ops", 90, 9)
    assert (failed.attempts, failed.last_error) == (1, "away")
    ledger.deliveries.failed(second, "away", 500, None, for_all=True)
    ledger.deliveries.delivered(failed, "page", now_ms=91, next_attempt_ms=91, token=None)
    assert due(ledger, 91) == [("2", "fired")]


def test_what_was_accepted_is_not_cancelled(ledger: Ledger) -> None:
    """Only what nobody has had yet is owed no longer."""
    ledger.alerts.save(FIRING, None)
    ledger.deliveries.owe([delivery(), delivery(receiver="chat")], None)
    ledger.deliveries.delivered(delivery(), "page", now_ms=20, next_attempt_ms=20, token=None)
    ledger.deliveries.cancel([delivery(), delivery(receiver="chat")], None)
    assert [row.receiver for row in stored(ledger)] == ["ops"]


def test_a_receiver_fails_after_three_attempts_or_two_minutes(ledger: Ledger) -> None:
    """Nobody having tried is no excuse; who has accepted all, or was never to be told, works."""

    def state(now_ms: int) -> tuple[int, bool, str | None]:
        found = ledger.deliveries.states(["ops", "idle"], now_ms)
        assert not found["idle"].failing
        return found["ops"].owed, found["ops"].failing, found["ops"].last_error

    ledger.alerts.save(FIRING, None)
    ledger.deliveries.owe([delivery()], None)
    assert state(120_001) == (1, False, None)
    assert state(120_002) == (1, True, None)
    row = delivery()
    for attempt in range(3):
        assert state(9)[1] is False
        row = ledger.deliveries.due("ops", 9, 1)[0][0]
        assert ledger.deliveries.begin(row, 9, None)
        ledger.deliveries.failed(row, f"away {attempt}", 9, None, for_all=True)
    assert state(9) == (1, True, "away 2")
    ledger.deliveries.delivered(row, "page", now_ms=9, next_attempt_ms=9, token=None)
    assert state(10**9) == (0, False, None)


def test_reminders_that_fail_make_a_receiver_fail_until_the_alert_is_over(ledger: Ledger) -> None:
    """An Alertmanager that is away forgets the alert; when that is over it owes nothing any more."""
    ledger.alerts.save(FIRING, None)
    ledger.deliveries.owe([delivery()], None)
    ledger.deliveries.delivered(delivery(), "page", now_ms=9, next_attempt_ms=9, token=None)
    for _ in range(3):
        row = ledger.deliveries.due("ops", 9, 1, repeats=True)[0][0]
        ledger.deliveries.begin(row, 9, None)
        ledger.deliveries.failed(row, "away", 9, None, for_all=True)
    assert ledger.deliveries.states(["ops"], 10)["ops"].failing
    ledger.alerts.save(OVER, None)
    assert not ledger.deliveries.states(["ops"], 10)["ops"].failing


def test_rows_go_with_their_alert(ledger: Ledger) -> None:
    """What is told is remembered as long as the alert is, so that nothing is told twice."""
    day_ms = 86_400_000
    ledger.alerts.save(replace(OVER, id="old", resolved_ms=1), None)
    ledger.alerts.save(FIRING, None)
    ledger.deliveries.owe([delivery(), delivery(alert_id="old")], None)
    assert ledger.retention.prune(RetentionSettings(), 399 * day_ms)["deliveries"] == 0
    assert ledger.retention.prune(RetentionSettings(), 401 * day_ms)["deliveries"] == 1
    assert [row.alert_id for row in stored(ledger)] == ["1"]
