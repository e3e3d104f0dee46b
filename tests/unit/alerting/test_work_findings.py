"""The daemon's own work, as its alert table sees it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitor.alerting.work import WorkFindings, failing_findings, lag_finding, stale_finding
from monitor.alerts.settings import AlertSettings
from monitor.ledger import open_ledger
from monitor.ledger.rows import PositionRow, VerdictCount
from tests.contracts.ledger.ledger_rows import alert, member, trace
from tests.unit.series.closing_stage import verdict

NOW_MS = 1_790_000_000_000
HOUR = timedelta(hours=1)
SETTINGS = AlertSettings(min_verdicts=10, failing_share=0.5)


def counts(passed: int, errors: int, scorer: str = "safety") -> list[VerdictCount]:
    return [
        VerdictCount(scorer=scorer, segment="all", label="pass", count=passed, weighted=passed),
        VerdictCount(scorer=scorer, segment="all", label="error", count=errors, weighted=errors),
        VerdictCount(scorer=scorer, segment="app_version=v1", label="error", count=errors, weighted=errors),
    ]


@pytest.mark.parametrize(("passed", "errors", "bad"), [(5, 5, True), (6, 5, False), (10, 0, False), (0, 9, None)])
def test_a_scorer_whose_verdicts_are_mostly_errors_is_failing(passed: int, errors: int, bad: bool | None) -> None:
    """From the configured share on; too few verdicts say nothing; segments are not counted twice."""
    [found] = failing_findings(counts(passed, errors), {"safety": "page"}, SETTINGS, [])
    assert (found.bad, found.severity, found.details["errors"]) == (bad, "page", errors)


def test_a_failing_scorer_that_falls_silent_is_no_longer_failing() -> None:
    """It is unknown then, which is told by another alert."""
    [found] = failing_findings([], {"safety": "page"}, SETTINGS, [alert(kind="scorer_failing", scorer="safety")])
    assert (found.scorer, found.bad) == ("safety", False)


def test_a_failing_scorers_alert_shows_the_traces_on_which_it_failed_last() -> None:
    """The runbook begins with one of them; what an open alert has shown stands."""
    ledger = open_ledger("sqlite://")
    for number, label in enumerate("eeeepeeeeeee"):
        error = {"label": "error", "value": None, "error": f"no answer {number}"} if label == "e" else {"label": "pass"}
        row = verdict(number, "pass", NOW_MS - 60_000 + number)
        ledger.intake.claim(trace(trace_id=row.trace_id, offset=number, event_time_ms=row.event_time_ms), [])
        ledger.intake.record(replace(row, **error))
    work = WorkFindings(ledger, {"safety": "ticket"}, SETTINGS, None, lambda _job, _last_s: None)
    [found] = [each for each in work.look([], NOW_MS) if each.kind == "scorer_failing"]
    assert found.bad
    assert found.details["examples"] == [
        {"trace_id": f"tr-{number:06d}", "rationale": f"no answer {number}"} for number in (11, 10, 9)
    ]
    shown = [{"trace_id": "tr-1", "rationale": "as it began"}]
    opened = alert(kind="scorer_failing", scorer="safety", details={"examples": shown})
    [again] = [each for each in work.look([opened], NOW_MS) if each.kind == "scorer_failing"]
    assert again.details["examples"] == shown
    ledger.close()


def position(lag: int | None, seen_ms: int | None = NOW_MS) -> PositionRow:
    return PositionRow(topic="t", partition=0, next_offset=1, received=1, lost=0, lag=lag, lag_seen_ms=seen_ms)


@pytest.mark.parametrize(
    ("positions", "bad"),
    [
        ([position(60), position(50)], True),
        ([position(60), position(40)], False),
        ([position(None, None)], None),
        ([position(999, NOW_MS - 600_000)], None),
    ],
)
def test_lag_is_that_of_all_partitions_and_only_what_was_seen_lately(
    positions: list[PositionRow], bad: bool | None
) -> None:
    """An owner that is gone says nothing; it must last ten minutes."""
    found = lag_finding(positions, 100, NOW_MS)
    assert (found.bad, found.hold_ms) == (bad, 600_000)


def test_a_dataset_is_stale_when_nothing_new_has_come_into_it() -> None:
    """An empty one is not: nothing was kept yet."""
    assert stale_finding("rows", None, HOUR, NOW_MS).bad is None
    assert stale_finding("rows", NOW_MS - 3_600_000, HOUR, NOW_MS).bad is False
    assert stale_finding("rows", NOW_MS - 3_600_001, HOUR, NOW_MS).bad is True


@pytest.mark.parametrize(("deadline_s", "bad"), [(None, False), (NOW_MS / 1000, False), (NOW_MS / 1000 - 1, True)])
def test_an_evaluation_past_its_deadline_is_overdue(deadline_s: float | None, bad: bool) -> None:
    """The schedule says by when; without one nothing is late."""
    ledger = open_ledger("sqlite://")
    ledger.jobs.succeeded("evaluation", 7_000)
    ledger.members.offer(member(dataset="rows", event_time_ms=NOW_MS))
    asked: list[Any] = []

    def deadline(job: str, last_s: float | None) -> float | None:
        asked.append((job, last_s))
        return deadline_s

    found = WorkFindings(ledger, {}, SETTINGS, "rows", deadline).look([], NOW_MS)
    assert {each.kind: each.bad for each in found} == {
        "consumer_lag": None,
        "dataset_stale": False,
        "evaluation_overdue": bad,
    }
    assert asked == [("evaluation", 7.0)]
    ledger.close()
