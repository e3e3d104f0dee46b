"""What is forgotten, what never is, and what a ledger weighs that forgets."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from monitor.ledger import EvaluationRow, LeaseLost, Ledger, RetentionSettings, open_ledger
from monitor.ledger.retention import BATCH_ROWS
from monitor.ledger.schema import budget_demand, metadata, spend, verdicts
from tests.contracts.ledger.ledger_rows import alert, decision, member, trace, verdict

DAY_MS = 86_400_000
NOW_MS = 1_000 * DAY_MS
OLD_MS = NOW_MS - 91 * DAY_MS
KEPT = RetentionSettings()


def sizes(ledger: Ledger) -> dict[str, int]:
    """Rows of each table that has any."""
    with ledger.database.read() as connection:
        counted = {
            name.removeprefix("tracewatch_"): connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }
    return {name: count for name, count in counted.items() if count}


def take_in(ledger: Ledger, name: str, offset: int, *, event_time_ms: int = OLD_MS, state: str = "due") -> None:
    """Claim a trace; one that is due is judged and published."""
    row = trace(trace_id=name, offset=offset, event_time_ms=event_time_ms)
    ledger.intake.claim(row, [decision(state=state), decision("greets", kept=False, state="left_out")])
    if state == "due":
        ledger.intake.record(verdict(trace_id=name, assessment_id=name, offset=offset, event_time_ms=event_time_ms))
        ledger.intake.mark_published(name, ["safety"])


def pass_over(ledger: Ledger, events: int, state: str = "scored") -> None:
    """Move the watermark over the first events."""
    ledger.positions.open("traces", 0, 0)
    counts = {("safety", state, "rate"): events, ("greets", "sampled_out", "rate"): events}
    assert ledger.positions.advance("traces", 0, 0, events, counts, received=events)


def test_what_is_old_and_done_is_forgotten_and_no_count_changes(ledger: Ledger) -> None:
    """A trace goes with its decisions, a verdict by itself; the accounting is the same before and after."""
    for offset in range(3):
        take_in(ledger, f"old-{offset}", offset)
    take_in(ledger, "young", 3, event_time_ms=NOW_MS - 89 * DAY_MS)
    pass_over(ledger, 4)
    before = (ledger.positions.accounted(), ledger.positions.received(), ledger.positions.all())
    deleted = ledger.retention.prune(KEPT, NOW_MS)
    assert {table: rows for table, rows in deleted.items() if rows} == {"traces": 3, "verdicts": 3}
    assert (ledger.positions.accounted(), ledger.positions.received(), ledger.positions.all()) == before
    assert ledger.positions.mismatches() == []
    assert {name: rows for name, rows in sizes(ledger).items() if name in ("traces", "decisions", "verdicts")} == {
        "traces": 1,
        "decisions": 2,
        "verdicts": 1,
    }
    assert ledger.intake.trace_of("young") is not None
    assert not any(ledger.retention.prune(KEPT, NOW_MS).values())


def test_what_is_owed_is_kept_however_old(ledger: Ledger) -> None:
    """Parked and due verdicts, and what MLflow has not got yet, stay; so does a parked count."""
    take_in(ledger, "parked", 0, state="parked")
    ledger.intake.claim(trace(trace_id="due", offset=1, event_time_ms=0), [decision()])
    ledger.intake.record(verdict(trace_id="unpublished", event_time_ms=0))
    pass_over(ledger, 1, state="parked")
    accounted = ledger.positions.accounted()
    assert not any(ledger.retention.prune(KEPT, NOW_MS).values())
    assert [row.trace_id for row in ledger.intake.parked(9)] == ["parked"]
    assert [row.trace_id for row in ledger.intake.unpublished(9)] == ["unpublished"]
    assert ledger.intake.trace_of("due") is not None
    assert ledger.positions.accounted() == accounted

    ledger.intake.record(verdict(trace_id="parked", published=True, event_time_ms=OLD_MS))
    scored = ledger.positions.accounted()
    assert {(row.scorer, row.outcome) for row in scored} == {("safety", "scored"), ("greets", "sampled_out")}
    assert ledger.retention.prune(KEPT, NOW_MS)["traces"] == 1
    assert ledger.positions.accounted() == scored


def test_an_event_that_may_come_again_stays_known(ledger: Ledger) -> None:
    """Above the watermark a trace is kept; far beyond its time it is of a topic that was made anew, and goes."""
    take_in(ledger, "in hand", 0)
    take_in(ledger, "made anew", 500_000, event_time_ms=NOW_MS - 181 * DAY_MS)
    assert ledger.retention.prune(KEPT, NOW_MS)["traces"] == 1
    assert ledger.intake.trace_of("in hand") is not None
    pass_over(ledger, 1)
    assert ledger.retention.prune(KEPT, NOW_MS)["traces"] == 1


def test_a_verdict_that_outlived_its_trace_settles_it_when_it_comes_again(ledger: Ledger) -> None:
    """A trace replayed after its time is new; a verdict that is still there stands, and is owed no more."""
    take_in(ledger, "old", 0)
    pass_over(ledger, 1)
    ledger.retention.prune(RetentionSettings(verdicts=timedelta(days=400)), NOW_MS)
    claim = ledger.intake.claim(trace(trace_id="old", offset=7, event_time_ms=OLD_MS), [decision(state="parked")])
    assert claim.outcome == "new"
    assert not ledger.intake.record(verdict(trace_id="old", rationale="another"))
    assert ledger.intake.parked(9) == []
    assert ledger.intake.verdicts_of("old")[0].rationale == "It is fine."


def test_the_traces_of_the_dataset_stay(ledger: Ledger) -> None:
    """An active row's trace is kept; an evicted row goes, once MLflow's dataset does not hold it any more."""
    for offset, name in enumerate(("active", "evicted", "to be deleted")):
        take_in(ledger, name, offset)
        ledger.members.offer(member(inputs_digest=name, trace_id=name, event_time_ms=OLD_MS))
    pass_over(ledger, 3)
    ledger.members.set_state("production", ["evicted", "to be deleted"], "evicted")
    gone = [row for row in ledger.members.unreconciled("production", 9) if row.inputs_digest == "evicted"]
    ledger.members.mark_reconciled("production", {"evicted": None}, gone)
    deleted = ledger.retention.prune(KEPT, NOW_MS)
    assert (deleted["traces"], deleted["members"]) == (2, 1)
    assert ledger.intake.trace_of("active") is not None
    assert [row.inputs_digest for row in ledger.members.active("production")] == ["active"]
    left = {row.inputs_digest for row in ledger.members.unreconciled("production", 9)}
    assert left == {"active", "to be deleted"}


def test_open_alerts_and_latest_comparisons_stay(ledger: Ledger) -> None:
    """Alerts that are over, evaluations that others have followed, reports of jobs, spend and minutes go."""
    ledger.alerts.save(alert(id="firing", state="firing", since_ms=1), None)
    ledger.alerts.save(alert(id="over", state="resolved", since_ms=1, resolved_ms=2), None)
    for number, candidates in enumerate((["v2"], ["v2", "v3"], [])):
        row = EvaluationRow(id=f"e{number}", dataset="d", digest="x", rows=[{"inputs": 1}], started_at_ms=number)
        ledger.evaluations.begin(row)
        ledger.evaluations.finish(row.id, {}, {name: {} for name in candidates}, finished_at_ms=number)
    ledger.jobs.succeeded("removed", 1)
    ledger.jobs.failed("failing", NOW_MS, "no judge")
    ledger.budget.factor("safety", 1, lambda: 0.5)
    ledger.budget.add_demand(1, {"safety": 1})
    ledger.budget.reserve_calls(1, 1, 10)
    ledger.budget.add_demand((NOW_MS - 34 * DAY_MS) // 60_000, {"safety": 1})
    ledger.replicas.beat("gone", "0.1.0", NOW_MS - 2 * DAY_MS)
    ledger.replicas.beat("running", "0.1.0", NOW_MS)
    with ledger.database.write() as connection:
        rows = [{"day": day, "purpose": "scoring", "calls": 1, "microdollars": 1} for day in (1, 999)]
        connection.execute(insert(spend), rows)
    deleted = ledger.retention.prune(KEPT, NOW_MS)
    assert {table: rows for table, rows in deleted.items() if rows} == {
        "alerts": 1,
        "evaluations": 2,
        "jobs": 1,
        "spend": 1,
        "budget_factors": 1,
        "budget_demand": 1,
        "budget_calls": 1,
        "replicas": 1,
    }
    assert [row.id for row in ledger.alerts.history(9)] == ["firing"]
    assert {(row.candidate, row.evaluation_id) for row in ledger.evaluations.comparisons(["v2", "v3"])} == {
        ("v2", "e1"),
        ("v3", "e1"),
    }
    assert [row.job for row in ledger.jobs.all()] == ["failing"]
    assert [row.holder for row in ledger.replicas.seen_since(0)] == ["running"]


def test_rows_go_in_small_transactions_that_can_be_stopped(ledger: Ledger) -> None:
    """Between two of them the caller is asked; what is done by then stays done, and the next call goes on."""
    with ledger.database.write() as connection:
        rows = [{"minute": minute, "scorer": "safety", "count": 1} for minute in range(2 * BATCH_ROWS + 1)]
        connection.execute(insert(budget_demand), rows)
    asked: list[int] = []

    def once(_took_s: float) -> bool:
        asked.append(sizes(ledger)["budget_demand"])
        return asked[-1] > BATCH_ROWS + 1

    assert ledger.retention.prune(KEPT, NOW_MS, go_on=once)["budget_demand"] == BATCH_ROWS
    assert asked[-1] == BATCH_ROWS + 1
    assert ledger.retention.prune(KEPT, NOW_MS)["budget_demand"] == BATCH_ROWS + 1


def test_a_replica_that_lost_the_lease_deletes_nothing(ledger: Ledger) -> None:
    """The token is checked in each transaction."""
    token = ledger.lease.acquire("leader", "a", 1.0, 0)
    take_in(ledger, "old", 0)
    pass_over(ledger, 1)
    assert ledger.lease.acquire("leader", "b", 1.0, 60_000) is not None
    before = sizes(ledger)
    with pytest.raises(LeaseLost):
        ledger.retention.prune(KEPT, NOW_MS, token)
    assert sizes(ledger) == before


def test_a_trace_that_comes_again_while_it_is_forgotten_is_taken_in_whole(ledger: Ledger, other: Ledger) -> None:
    """Whatever the order, no decision is left without its trace, and nothing owed is lost."""
    names = [f"tr-{number}" for number in range(60)]
    for offset, name in enumerate(names):
        take_in(ledger, name, offset)
    pass_over(ledger, len(names))

    def replay() -> None:
        for offset, name in enumerate(names):
            row = trace(trace_id=name, offset=offset, event_time_ms=OLD_MS)
            other.intake.claim(row, [decision("added since", state="parked")])

    with ThreadPoolExecutor(2) as pool:
        acts = [pool.submit(replay), *[pool.submit(ledger.retention.prune, KEPT, NOW_MS) for _ in range(5)]]
        for act in acts:
            act.result(timeout=60)
    owed = ledger.intake.parked(100)
    assert sorted(row.trace_id for row in owed) == sorted(names)
    assert {row.scorer for row in owed} == {"added since"}


def test_a_sqlite_file_stops_growing(tmp_path: Path) -> None:
    """With a steady stream that is written and forgotten, the tenth round needs no more room than the third."""
    file = tmp_path / "ledger.db"
    ledger = open_ledger(f"sqlite:///{file}")
    kept = RetentionSettings(traces=timedelta(days=1), verdicts=timedelta(days=1))
    weights = []
    for day in range(10):
        _write_a_day(ledger, day, events=400)
        ledger.retention.prune(kept, (day + 1) * DAY_MS)
        with ledger.database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
        weights.append(file.stat().st_size)
    ledger.close()
    assert weights[9] <= 1.2 * weights[2], weights


def _write_a_day(ledger: Ledger, day: int, events: int) -> None:
    first = day * events
    ledger.positions.open("traces", 0, 0)
    rows = [trace(trace_id=f"tr-{first + n}", offset=first + n, event_time_ms=day * DAY_MS) for n in range(events)]
    ledger.intake.claim_all([(row, [decision(state="scored")]) for row in rows])
    with ledger.database.write() as connection:
        for row in rows:
            judged = verdict(trace_id=row.trace_id, rationale="because " * 50, event_time_ms=row.event_time_ms)
            values = {name: getattr(judged, name) for name in verdict().__slots__}
            connection.execute(insert(verdicts).values(values | {"published": 1}))
    counts = {("safety", "scored", "rate"): events}
    ledger.positions.advance("traces", 0, first, first + events, counts, received=events)
