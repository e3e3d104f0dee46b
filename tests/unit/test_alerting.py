"""From the ledger's figures to its alert table."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from monitor.alerting import Alerting, Watched
from monitor.alerts.settings import AlertSettings
from monitor.ledger import LeaseLost
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.ledger.rows import EvaluationRow, LeaseToken, VerdictRow

NOW_MS = 1_790_000_000_000
SETTINGS = AlertSettings(min_verdicts=3, pass_rate_for=timedelta(seconds=10))
WATCHED = [Watched(scorer="safety", target=0.9, severity="page", shadow=False)]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A fresh ledger on SQLite."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield opened
    opened.close()


@pytest.fixture
def token(ledger: Ledger) -> LeaseToken:
    """The lease."""
    taken = ledger.lease.acquire("leader", "me", 60.0, NOW_MS)
    assert taken is not None
    return taken


def verdict(number: int, label: Any, at_ms: int) -> VerdictRow:
    return VerdictRow(
        trace_id=f"tr-{number}",
        scorer="safety",
        scorer_version="0" * 12,
        assessment_id=f"a-{number}",
        label=label,
        value=float(label == "pass"),
        feedback={},
        rationale=None,
        error=None,
        probability=1.0,
        reason="rate",
        segments={},
        app_version=None,
        session_id=None,
        event_time_ms=at_ms,
        topic="traces",
        partition=0,
        offset=number,
        judged_at_ms=at_ms,
        duration_s=0.1,
        published=True,
    )


def look(ledger: Ledger, token: LeaseToken, now_ms: int, watched: list[Watched] = WATCHED) -> list[tuple[str, str]]:
    Alerting(ledger, watched, SETTINGS, structlog.get_logger()).look(token, now_ms)
    return [(alert.kind, alert.state) for alert in ledger.alerts.open_alerts()]


def test_a_rate_below_its_target_for_a_while_fires_and_resolves_when_it_recovers(
    ledger: Ledger, token: LeaseToken
) -> None:
    """Pending at first sight, firing after the hold, resolved by a rate at or above the target."""
    for number in range(3):
        ledger.intake.record(verdict(number, "fail", NOW_MS))
    assert look(ledger, token, NOW_MS) == [("production_regression", "pending")]
    assert look(ledger, token, NOW_MS + 9_999) == [("production_regression", "pending")]
    assert look(ledger, token, NOW_MS + 10_000) == [("production_regression", "firing")]
    for number in range(3, 60):
        ledger.intake.record(verdict(number, "pass", NOW_MS + 11_000))
    assert look(ledger, token, NOW_MS + 12_000) == []
    [alert] = ledger.alerts.history(10)
    assert (alert.state, alert.fired_ms, alert.resolved_ms) == ("resolved", NOW_MS + 10_000, NOW_MS + 12_000)


def test_too_few_verdicts_and_old_ones_decide_nothing(ledger: Ledger, token: LeaseToken) -> None:
    """Nobody is paged for two verdicts, nor for a past that is over."""
    ledger.intake.record(verdict(1, "fail", NOW_MS))
    ledger.intake.record(verdict(2, "fail", NOW_MS))
    assert look(ledger, token, NOW_MS) == []
    ledger.intake.record(verdict(3, "fail", NOW_MS))
    assert look(ledger, token, NOW_MS + 2 * 3_600_000) == []


def test_a_shadow_scorer_raises_no_alert(ledger: Ledger, token: LeaseToken) -> None:
    """It is scored, and nobody is told."""
    for number in range(5):
        ledger.intake.record(verdict(number, "fail", NOW_MS))
    shadow = [Watched(scorer="safety", target=0.9, severity="page", shadow=True)]
    assert look(ledger, token, NOW_MS, shadow) == []


def test_a_regressed_candidate_fires_at_once_and_a_better_one_resolves_it(ledger: Ledger, token: LeaseToken) -> None:
    """The comparison decides; the next evaluation's comparison of the same candidate takes its place."""
    finish(ledger, "first", "regressed", NOW_MS)
    assert look(ledger, token, NOW_MS) == [("candidate_regression", "firing")]
    [alert] = ledger.alerts.open_alerts()
    assert (alert.segment, alert.details["pass_to_fail"]) == ("version=v2", ["tr-9"])
    finish(ledger, "second", "inconclusive", NOW_MS + 1000)
    assert look(ledger, token, NOW_MS + 1000) == []


def test_a_replica_that_lost_the_lease_publishes_no_alert(ledger: Ledger, token: LeaseToken) -> None:
    """Its token is checked in the transaction that writes."""
    for number in range(3):
        ledger.intake.record(verdict(number, "fail", NOW_MS))
    assert ledger.lease.acquire("leader", "another", 60.0, NOW_MS + 61_000) is not None
    with pytest.raises(LeaseLost):
        look(ledger, token, NOW_MS + 61_000)
    assert ledger.alerts.history(10) == []


def finish(ledger: Ledger, name: str, decided: str, at_ms: int) -> None:
    ledger.evaluations.begin(EvaluationRow(id=name, dataset="rows", digest="d", rows=[], started_at_ms=at_ms))
    metric = {"scorer": "safety", "baseline": 0.9, "candidate": 0.5, "difference": -0.4, "verdict": decided}
    comparison = {
        "metrics": [{**metric, "p_adjusted": 0.01, "n_paired": 40}],
        "candidate": {"run_id": "run"},
        "pass_to_fail": [{"scorer": "safety", "candidate": {"trace_id": "tr-9"}}],
    }
    ledger.evaluations.finish(name, {}, {"v2": comparison}, finished_at_ms=at_ms)
