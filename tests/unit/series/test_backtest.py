"""A backtest finds what the daemon found, in the same verdicts, and says what targets would have cost."""

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.alerts.kinds import Severity
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.series.backtest import Past, suggestion, targets, taught, with_target
from monitor.series.blindness import Sight
from monitor.stats.reference import Learnt
from monitor.stats.settings import SessionSettings, StatisticsSettings
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, closing, fill, policy, state, verdict, watched

SIGHT = Sight(min_verdicts=20, quiet_ms=60 * MINUTE_MS, window_ms=1440 * MINUTE_MS)
PAST = Past(
    settings=StatisticsSettings(),
    sessions=SessionSettings(),
    max_age=timedelta(hours=1),
    sight=SIGHT,
    severities={"safety": "page"},
)


def filled(labels: str) -> Ledger:
    ledger = open_ledger("sqlite://")
    fill(ledger, labels)
    return ledger


@pytest.mark.parametrize("unit", ["verdict", "session", "block"])
def test_it_finds_what_the_daemon_found(unit: str) -> None:
    """The same onset, the same block, the same recovery, from the same ledger."""
    ledger = filled("p" * 60 + "f" * 40 + "p" * 600 + "f" * 40)
    scorer = watched(unit=unit, policy=policy(threshold=24.0))
    closer = closing(ledger, scorer, statistics={"unit_block": "10m"}, max_age=timedelta(days=9))
    told: list[tuple[int, int]] = []
    for minute in range(0, 900, 1):
        closer.close(None, BEGAN_MS + minute * MINUTE_MS)
        if minute > 10 and ledger.series.all():
            alarm = state(ledger).alarm
            if alarm is not None and (alarm.onset_ms, alarm.at_ms) not in told:
                told.append((alarm.onset_ms, alarm.at_ms))
    past = Past(
        settings=StatisticsSettings(unit_block=timedelta(minutes=10)),
        sessions=SessionSettings(),
        max_age=timedelta(hours=1),
        sight=SIGHT,
        severities={"safety": "page"},
    )
    found = past.alerts(ledger.series.past(0, 2**60), {"safety": scorer})
    assert len(told) >= 1
    assert [(each.onset_ms, each.fired_ms) for each in found] == told
    ledger.close()


def test_verdicts_that_came_too_late_paged_nobody_then_and_do_not_now() -> None:
    """They were judged two hours after their traces."""
    ledger = open_ledger("sqlite://")
    for number in range(60):
        at_ms = BEGAN_MS + number * MINUTE_MS
        ledger.intake.record(verdict(number, "fail", at_ms, judged_at_ms=at_ms + 2 * 3_600_000))
    assert PAST.alerts(ledger.series.past(0, 2**60), {"safety": watched()}) == []
    ledger.close()


def test_the_past_comes_in_pages_and_by_time_alone() -> None:
    """From the first moment on, up to the last one, which is left out."""
    ledger = filled("p" * 10)
    [page] = ledger.series.past(BEGAN_MS + MINUTE_MS, BEGAN_MS + 4 * MINUTE_MS)
    assert [each.event_time_ms for each in page] == [BEGAN_MS + minute * MINUTE_MS for minute in (1, 2, 3)]
    ledger.close()


def test_what_another_version_of_the_scorer_said_suggests_nothing() -> None:
    """Nor does what a configuration of the past kept with a probability that is not allowed now."""
    ledger = filled("p" * 300)
    for number in range(1000, 1300):
        label = "pass" if number % 5 else "fail"
        ledger.intake.record(verdict(number, label, BEGAN_MS + number * MINUTE_MS, scorer_version="1" * 12))
    pages = list(ledger.series.past(0, 2**60))
    new = {"safety": watched(version="1" * 12)}
    learnt = taught((each for page in pages for each in page), new)["safety"]
    assert (learnt.n, learnt.mean) == (300, pytest.approx(0.8))
    assert taught((each for page in pages for each in page), {"safety": watched(smallest_probability=0.0)}) == {}
    ledger.close()


def test_an_alert_of_a_segment_ends_with_its_traffic_and_is_told_with_all() -> None:
    """As in life: the release that broke everything was rolled back, and is no page of its own."""
    ledger = open_ledger("sqlite://")
    for number in range(1200):
        label, version = ("fail", "v2") if number < 120 else ("pass", "v1")
        row = verdict(number, label, BEGAN_MS + number * MINUTE_MS, app_version=version)
        ledger.intake.record(replace(row, segments={"app_version": version}))
    found = PAST.alerts(ledger.series.past(0, 2**60), {"safety": watched(policy=policy(threshold=24.0))})
    assert {(each.segment, each.told, each.severity) for each in found} == {
        ("all", True, "page"),
        ("app_version=v2", False, "none"),
    }
    assert [each for each in found if each.resolved_ms is None] == []
    ledger.close()


def test_suggested_targets_lie_below_what_the_past_proves_and_their_cost_is_counted() -> None:
    """A rate of 95 % over a day proves less than 95 %; a fall costs a page under each target above it."""
    ledger = filled(("p" * 19 + "f") * 60 + "f" * 40)
    scorers = {"safety": watched()}
    learnt = taught((each for page in ledger.series.past(0, 2**60) for each in page), scorers)["safety"]
    found = targets(learnt)
    assert found == sorted(found, reverse=True)
    assert found[0] < 0.95
    held = {"safety": with_target(scorers["safety"], found[-1])}
    fired = PAST.alerts(ledger.series.past(0, 2**60), held)
    said = suggestion("safety", found[-1], learnt, fired, 15 * 86_400_000)
    assert (said.pages_a_month, said.tickets_a_month, said.verdicts) == (2.0, 0.0, 1240)
    ledger.close()


@pytest.mark.parametrize(("severity", "cost"), [("page", (1.0, 0.0)), ("ticket", (0.0, 1.0)), ("none", (0.0, 0.0))])
def test_what_would_have_paged_nobody_costs_no_page(severity: Severity, cost: tuple[float, float]) -> None:
    """A scorer that is worth a ticket costs tickets, and one that is worth nothing is only seen."""
    ledger = filled("p" * 60 + "f" * 40)
    past = replace(PAST, severities={"safety": severity})
    fired = past.alerts(ledger.series.past(0, 2**60), {"safety": watched()})
    assert [each.severity for each in fired] == [severity]
    said = suggestion("safety", 0.9, Learnt().seen(1.0, 1.0), fired, 30 * 86_400_000)
    assert (said.pages_a_month, said.tickets_a_month) == cost
    ledger.close()
