"""Dataset membership."""

import itertools
from dataclasses import replace
from types import MappingProxyType

import pytest

from monitor.ledger import LeaseLost, Ledger, MemberRow
from tests.contracts.ledger.ledger_rows import member


def test_the_first_trace_of_an_inputs_digest_owns_the_record(ledger: Ledger) -> None:
    """Later traces with the same inputs do not become records; the owner's redelivery is still the owner's."""
    assert ledger.members.offer(member())
    assert not ledger.members.offer(member(trace_id="tr-2", outputs="other"))
    assert ledger.members.offer(member())
    assert ledger.members.offer(member(dataset="staging", trace_id="tr-2"))
    assert ledger.members.active("production") == [member()]
    assert ledger.members.count("production") == 1


def test_expectations_merge_alike_in_whatever_order_traces_come(ledger: Ledger) -> None:
    """Of each key the latest trace's expectation stands, for any order of arrival and any redelivery."""
    offers = [
        member(trace_id="tr-1", event_time_ms=1, expectations={"a": 1, "b": 1}),
        member(trace_id="tr-2", event_time_ms=2, expectations=MappingProxyType({"b": 2, "c": [2]})),
        member(trace_id="tr-3", event_time_ms=2, expectations={"c": [3]}),
    ]
    for number, order in enumerate(itertools.permutations(offers)):
        for offer in (*order, *order[:2]):
            ledger.members.offer(_in(f"dataset-{number}", offer))
        assert ledger.members.active(f"dataset-{number}")[0].expectations == {"a": 1, "b": 2, "c": [3]}


def test_a_row_is_unreconciled_until_mlflow_shows_it_as_it_is(ledger: Ledger) -> None:
    """New, changed and evicted rows are due; what is marked is not, and what changed nothing is not."""
    ledger.members.offer(member())
    ledger.members.offer(member(inputs_digest="d2", event_time_ms=2_000))
    seen = ledger.members.unreconciled("production", 9)
    assert [row.inputs_digest for row in seen] == ["d1", "d2"]
    assert [row.inputs_digest for row in ledger.members.unreconciled("production", 1)] == ["d1"]
    ledger.members.mark_reconciled("production", {"d1": "r1", "d2": "r2"}, seen)
    ledger.members.offer(member(trace_id="tr-9"))
    assert ledger.members.unreconciled("production", 9) == []
    ledger.members.offer(member(trace_id="tr-9", expectations={"answer": 42}))
    due = ledger.members.unreconciled("production", 9)
    assert [(row.inputs_digest, row.record_id, row.expectations) for row in due] == [("d1", "r1", {"answer": 42})]


def test_a_change_while_mlflow_is_written_stays_due(ledger: Ledger) -> None:
    """Marking what was seen does not hide what came between."""
    ledger.members.offer(member())
    seen = ledger.members.unreconciled("production", 9)
    ledger.members.offer(member(trace_id="tr-2", expectations={"late": True}))
    ledger.members.mark_reconciled("production", {"d1": "r1"}, seen)
    assert [row.record_id for row in ledger.members.unreconciled("production", 9)] == ["r1"]


def test_evicted_rows_are_deleted_and_come_back_only_when_told(ledger: Ledger) -> None:
    """An evicted row leaves the dataset, is due with its record id, and its inputs coming again leave it out."""
    ledger.members.offer(member())
    ledger.members.mark_reconciled("production", {"d1": "r1"}, ledger.members.unreconciled("production", 9))
    ledger.members.set_state("production", ["d1", "unknown"], "evicted")
    assert ledger.members.count("production") == 0
    due = ledger.members.unreconciled("production", 9)
    assert [(row.state, row.record_id) for row in due] == [("evicted", "r1")]
    ledger.members.mark_reconciled("production", {"d1": None}, due)
    ledger.members.offer(member(trace_id="tr-2", expectations={"late": 1}))
    assert ledger.members.unreconciled("production", 9) == []
    ledger.members.set_state("production", ["d1"], "active")
    assert [(row.state, row.record_id) for row in ledger.members.unreconciled("production", 9)] == [("active", None)]


def test_golden_rows_are_never_evicted(ledger: Ledger) -> None:
    """Golden stays whatever is asked, and an evicted row that turns out golden returns."""
    ledger.members.offer(member(golden=True))
    ledger.members.offer(member(inputs_digest="d2"))
    ledger.members.set_state("production", ["d1", "d2"], "evicted")
    assert [row.inputs_digest for row in ledger.members.active("production")] == ["d1"]
    assert not ledger.members.offer(member(inputs_digest="d2", trace_id="tr-2", golden=True))
    assert [row.golden for row in ledger.members.active("production")] == [True, True]


def test_a_former_lease_holder_changes_no_membership(ledger: Ledger) -> None:
    """Evicting and marking check the fencing token in their own transaction."""
    ledger.members.offer(member())
    old = ledger.lease.acquire("lead", "a", 10, 0)
    assert old is not None
    ledger.lease.acquire("lead", "b", 10, 20_000)
    with pytest.raises(LeaseLost):
        ledger.members.set_state("production", ["d1"], "evicted", old)
    seen = ledger.members.unreconciled("production", 9)
    with pytest.raises(LeaseLost):
        ledger.members.mark_reconciled("production", {"d1": "r"}, seen, old)
    assert ledger.members.unreconciled("production", 9) == seen == ledger.members.active("production")


def _in(dataset: str, row: MemberRow) -> MemberRow:
    return replace(row, dataset=dataset)


def test_a_row_is_found_by_its_inputs_whatever_its_state(ledger: Ledger) -> None:
    """An evicted row still tells whose it was; the same inputs in another dataset are another row."""
    ledger.members.offer(member())
    ledger.members.set_state("production", ["d1"], "evicted")
    found = ledger.members.find("production", "d1")
    assert found is not None
    assert (found.trace_id, found.state) == ("tr-1", "evicted")
    assert ledger.members.find("production", "d2") is None
    assert ledger.members.find("other", "d1") is None
