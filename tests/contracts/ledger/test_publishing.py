"""The lease, and what its holder publishes: alerts, evaluations, jobs; figures read from verdicts."""

from dataclasses import replace

import pytest

from monitor.ledger import ComparisonRow, EvaluationRow, JobRow, LeaseLost, LeaseToken, Ledger
from tests.contracts.ledger.ledger_rows import alert, verdict


def acquired(ledger: Ledger, holder: str, now_ms: int) -> LeaseToken:
    """The lease, which must be free."""
    token = ledger.lease.acquire("lead", holder, 10, now_ms)
    assert token is not None
    return token


def test_one_holder_at_a_time_and_each_new_one_has_a_larger_token(ledger: Ledger, other: Ledger) -> None:
    """The lease passes on when it runs out or is given up, and never before."""
    first = acquired(ledger, "a", 0)
    assert other.lease.acquire("lead", "b", 10, 9_999) is None
    assert acquired(ledger, "a", 5_000) == first
    assert other.lease.acquire("lead", "b", 10, 14_999) is None
    second = acquired(other, "b", 15_000)
    assert second.token > first.token
    assert not ledger.lease.renew(first, 10, 15_001)
    assert not ledger.lease.release(first)
    assert other.lease.release(second)
    third = acquired(ledger, "a", 15_002)
    assert third.token > second.token
    assert ledger.lease.renew(third, 10, 90_000)
    assert other.lease.acquire("lead", "b", 10, 99_999) is None
    assert other.lease.acquire("another", "b", 10, 0) is not None


def test_a_former_holder_publishes_nothing(ledger: Ledger) -> None:
    """The token is checked in the transaction that publishes; a lease that ran out untaken still publishes."""
    first = acquired(ledger, "a", 0)
    ledger.alerts.save(alert(), first)
    second = acquired(ledger, "b", 60_000)
    with pytest.raises(LeaseLost, match="lead"):
        ledger.alerts.save(alert(state="firing"), first)
    assert ledger.alerts.open_alerts() == [alert()]
    ledger.lease.release(second)
    with pytest.raises(LeaseLost), ledger.database.write() as connection:
        ledger.lease.guard(connection, second)


def test_alerts_live_through_their_states(ledger: Ledger) -> None:
    """An alert is one row; open ones come oldest first, the history newest first."""
    token = acquired(ledger, "a", 0)
    firing = alert(state="firing", fired_ms=5, details={"rows": [{"trace_id": "tr-1"}]})
    for row in (alert(), firing, alert(id="2", since_ms=3), alert(id="0", since_ms=0)):
        ledger.alerts.save(row, token)
    assert [row.id for row in ledger.alerts.open_alerts()] == ["0", "1", "2"]
    assert ledger.alerts.open_alerts()[1] == firing
    resolved = replace(firing, state="resolved", resolved_ms=9)
    ledger.alerts.save(resolved, None)
    assert [row.id for row in ledger.alerts.open_alerts()] == ["0", "2"]
    assert ledger.alerts.history(2) == [alert(id="2", since_ms=3), resolved]


def test_an_evaluation_keeps_its_very_rows_and_ends_once(ledger: Ledger) -> None:
    """Rows, runs and comparisons come back as they were put in; a finished evaluation neither ends nor fails again."""
    rows = [{"inputs": {"q": "é"}, "tags": {"k": "v"}}, {"inputs": {"q": None}}]
    ledger.evaluations.begin(EvaluationRow(id="e1", dataset="production", digest="x", rows=rows, started_at_ms=1))
    assert ledger.evaluations.rows("e1") == rows
    assert ledger.evaluations.rows("unknown") == []
    runs = {"v1": {"run_id": "r1", "overall": 0.5, "metrics": {}}}
    assert ledger.evaluations.finish("e1", runs, {"v2": {"regressed": True}}, finished_at_ms=9)
    assert not ledger.evaluations.finish("e1", {}, {"v3": {}}, finished_at_ms=10)
    assert not ledger.evaluations.fail("e1", "late", finished_at_ms=11)
    latest = ledger.evaluations.latest()
    assert latest is not None
    assert (latest.state, latest.row_count, latest.runs, latest.finished_at_ms) == ("finished", 2, runs, 9)
    assert ledger.evaluations.comparisons(["v2"]) == [
        ComparisonRow(evaluation_id="e1", candidate="v2", finished_at_ms=9, comparison={"regressed": True})
    ]


def test_the_latest_comparison_of_each_candidate_is_shown(ledger: Ledger) -> None:
    """A candidate keeps its last comparison when later evaluations fail or leave it out."""
    assert ledger.evaluations.latest() is None
    for number, candidates in enumerate((["v2", "v3"], ["v3"], ["v2"])):
        row = EvaluationRow(id=f"e{number}", dataset="d", digest="x", rows=[], started_at_ms=number)
        ledger.evaluations.begin(row)
        if number == 2:
            ledger.evaluations.fail("e2", "no judge", finished_at_ms=30)
        else:
            compared = {candidate: {"number": number} for candidate in candidates}
            ledger.evaluations.finish(f"e{number}", {}, compared, finished_at_ms=10 + number)
    assert [(row.candidate, row.evaluation_id) for row in ledger.evaluations.comparisons(["v3", "v2", "v9"])] == [
        ("v2", "e0"),
        ("v3", "e1"),
    ]
    assert [row.candidate for row in ledger.evaluations.comparisons(["v3"])] == ["v3"]
    assert ledger.evaluations.comparisons([]) == []
    latest, finished = ledger.evaluations.latest(), ledger.evaluations.latest("finished")
    assert latest is not None
    assert (latest.id, latest.error) == ("e2", "no judge")
    assert finished is not None
    assert finished.id == "e1"


def test_jobs_remember_their_last_success_and_failure(ledger: Ledger) -> None:
    """A success does not hide the last failure, and a late report hides no newer one."""
    ledger.jobs.succeeded("evaluate", 10)
    ledger.jobs.succeeded("evaluate", 5)
    ledger.jobs.failed("evaluate", 12, "no judge")
    ledger.jobs.failed("reconcile", 3, "old")
    assert ledger.jobs.all() == [
        JobRow(job="evaluate", last_success_ms=10, last_failure_ms=12, last_error="no judge"),
        JobRow(job="reconcile", last_success_ms=None, last_failure_ms=3, last_error="old"),
    ]


def test_pass_rates_are_weighted_by_inverse_probability(ledger: Ledger) -> None:
    """One pass seen with probability 0.25 stands for four; errors, old traces and weight 0 are left out."""
    rows = [
        verdict(trace_id="1", label="pass", probability=0.25, segments={"app_version": "v1"}),
        verdict(trace_id="2", label="fail", probability=1.0, segments={"app_version": "v2"}),
        verdict(trace_id="3", label="error", value=None, probability=0.5),
        verdict(trace_id="4", label="fail", event_time_ms=999),
        verdict(trace_id="5", label="fail", probability=0.0),
    ]
    for row in rows:
        ledger.intake.record(row)
    rates = {(row.scorer, row.segment): (row.verdicts, row.rate) for row in ledger.figures.pass_rates(1_000)}
    assert rates == {
        ("safety", "all"): (2, 0.8),
        ("safety", "app_version=v1"): (1, 1.0),
        ("safety", "app_version=v2"): (1, 0.0),
    }
    counts = {(row.segment, row.label): (row.count, row.weighted) for row in ledger.figures.verdict_counts(1_000)}
    assert counts["all", "pass"] == (1, 4.0)
    assert counts["all", "error"] == counts["app_version=v1", "error"] == (1, 2.0)
    assert ledger.figures.pass_rates(5_000) == []


def test_the_newest_alert_about_something_is_found_in_any_state(ledger: Ledger) -> None:
    """What it told of is remembered after it is over."""
    assert ledger.alerts.latest("production", "safety", "all") is None
    ledger.alerts.save(alert(id="1", state="resolved", since_ms=1, details={"lost": 1}), None)
    ledger.alerts.save(alert(id="2", state="resolved", since_ms=5, details={"lost": 2}), None)
    ledger.alerts.save(alert(id="3", segment="app_version=v1", since_ms=9), None)
    found = ledger.alerts.latest("production", "safety", "all")
    assert found is not None
    assert (found.id, found.details) == ("2", {"lost": 2})
