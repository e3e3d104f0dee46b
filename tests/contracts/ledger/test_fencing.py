"""A replica that lost the lease changes nothing, whatever it was about to publish."""

import inspect
from collections.abc import Callable
from dataclasses import fields

import pytest
from sqlalchemy import select

from monitor.ledger import EvaluationRow, LeaseLost, LeaseToken, Ledger, RetentionSettings
from monitor.ledger.label_rows import FrozenRow, LabelRow
from monitor.ledger.rows import ClockRow
from monitor.ledger.schema import metadata
from monitor.ledger.series import ClosedBlock
from tests.contracts.ledger.ledger_rows import alert, decision, delivery, member, trace, verdict

WRITES: dict[str, Callable[[Ledger, LeaseToken], object]] = {
    "alerts.save": lambda ledger, token: ledger.alerts.save(alert(id="late"), token),
    "deliveries.begin": lambda ledger, token: ledger.deliveries.begin(delivery(), 9, token),
    "deliveries.cancel": lambda ledger, token: ledger.deliveries.cancel([delivery()], token),
    "deliveries.delivered": lambda ledger, token: ledger.deliveries.delivered(delivery(), "page", 9, 9, token),
    "deliveries.failed": lambda ledger, token: ledger.deliveries.failed(delivery(), "away", 9, token, for_all=True),
    "deliveries.owe": lambda ledger, token: ledger.deliveries.owe([delivery(receiver="late")], token),
    "evaluations.begin": lambda ledger, token: ledger.evaluations.begin(_evaluation("late"), token),
    "evaluations.finish": lambda ledger, token: ledger.evaluations.finish(
        "running", {}, {"v2": {}}, finished_at_ms=9, token=token
    ),
    "jobs.succeeded": lambda ledger, token: ledger.jobs.succeeded("late", 9, token),
    "jobs.failed": lambda ledger, token: ledger.jobs.failed("late", 9, "x", token),
    "members.set_state": lambda ledger, token: ledger.members.set_state("production", ["d1"], "evicted", token),
    "members.mark_reconciled": lambda ledger, token: ledger.members.mark_reconciled(
        "production", {"d1": "r1"}, ledger.members.unreconciled("production", 9), token
    ),
    "frozen.freeze": lambda ledger, token: ledger.frozen.freeze([_frozen("late")], 9, token),
    "frozen.note_latest": lambda ledger, token: ledger.frozen.note_latest(_frozen("early"), "fail", 9, token),
    "frozen.drop": lambda ledger, token: ledger.frozen.drop([_frozen("early")], token),
    "labels.align": lambda ledger, token: ledger.labels.align(["tr-1"], [], token),
    "series.close": lambda ledger, token: ledger.series.close(_block(), token),
    "retention.prune": lambda ledger, token: ledger.retention.prune(RetentionSettings(), 10**14, token),
}
"""Everything that the lease holder writes, but parked verdicts and `published` marks, which may be written twice."""


def _block() -> ClosedBlock:
    clock = ClockRow(block=60_000, live=1, shares=0.1)
    return ClosedBlock(block=0, closed_at_ms=9, verdicts=[], series=[], retired=[], clock=clock)


def _label() -> LabelRow:
    return LabelRow(
        id="a-1",
        trace_id="tr-1",
        scorer="safety",
        label="pass",
        rationale=None,
        labelled_by="ann",
        event_time_ms=1,
        labelled_at_ms=2,
        origin="mlflow",
        state="published",
    )


def _frozen(trace_id: str) -> FrozenRow:
    return FrozenRow(
        scorer="safety", scorer_version="v", trace_id=trace_id, human="pass", frozen="pass", frozen_at_ms=1
    )


def _evaluation(name: str) -> EvaluationRow:
    return EvaluationRow(id=name, dataset="d", digest="x", rows=[], started_at_ms=1)


def everything(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    with ledger.database.read() as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for name, table in metadata.tables.items()
        }


def test_every_write_of_the_lease_holder_is_on_the_list() -> None:
    """Each method of a part of the ledger that takes a token stands above."""
    found = {
        f"{part.name}.{name}"
        for part in fields(Ledger)
        if part.name != "lease" and isinstance(part.type, type)
        for name, method in inspect.getmembers(part.type, inspect.isfunction)
        if not name.startswith("_") and "token" in inspect.signature(method).parameters
    }
    assert found == set(WRITES)


@pytest.mark.parametrize("name", sorted(WRITES))
def test_a_lost_lease_publishes_nothing(ledger: Ledger, name: str) -> None:
    """With a token that was good once the write is refused and every row is as it was; with the new one it is done."""
    ledger.intake.claim(trace(), [decision()])
    ledger.intake.record(verdict(published=True))
    ledger.positions.open("traces", 0, 0)
    ledger.positions.advance("traces", 0, 0, 1, {("safety", "scored", "rate"): 1}, received=1)
    ledger.members.offer(member(trace_id="another"))
    ledger.evaluations.begin(_evaluation("running"))
    ledger.labels.record(_label())
    ledger.frozen.freeze([_frozen("early")], 9)
    ledger.alerts.save(alert(state="firing"), None)
    ledger.deliveries.owe([delivery()], None)
    lost = ledger.lease.acquire("leader", "frozen", 1.0, 0)
    held = ledger.lease.acquire("leader", "awake", 1.0, 60_000)
    assert lost is not None
    assert held is not None
    before = everything(ledger)
    with pytest.raises(LeaseLost, match="no longer held by frozen"):
        WRITES[name](ledger, lost)
    assert everything(ledger) == before
    WRITES[name](ledger, held)
    assert everything(ledger) != before
