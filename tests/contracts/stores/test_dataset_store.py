"""What every dataset store does: one suite on the form in memory and on MLflow with SQLite."""

from dataclasses import replace

import pytest
from sample_traces import sample_trace

from monitor.dataset.memory_store import MemoryDatasetStore
from monitor.dataset.reconcile import reconcile
from monitor.dataset.records import content_digest, inputs_digest, member_from_trace


@pytest.fixture(params=["memory", "mlflow"])
def store(request):
    """An empty store of each form."""
    if request.param == "memory":
        return MemoryDatasetStore()
    from monitor.dataset.mlflow_store import MlflowDatasetStore

    return MlflowDatasetStore(request.getfixturevalue("mlflow_uri"), "shop", "production")


def _member(name="one", **changes):
    member = member_from_trace(
        sample_trace(name, changes.pop("asked", None)), dataset="production", segment="all", probability=1, golden=False
    )
    return replace(member, **changes)


def test_rows_come_back_with_their_source_trace(store):
    """A row carries record id, inputs, expectations, tags and the trace that it comes from."""
    store.ensure()
    member = _member(expectations={"fact": "Rome"}, tags={"lang": "de"})
    record_ids = store.merge([member])
    (row,) = store.rows()
    assert record_ids == {member.inputs_digest: row.record_id}
    assert (row.inputs, row.expectations, row.trace_id) == (member.inputs, {"fact": "Rome"}, member.trace_id)
    assert row.tags["lang"] == "de"


def test_merging_twice_is_merging_once(store):
    """A repeated reconciliation gives the same record ids and the same rows."""
    members = [_member(f"row {number}") for number in range(5)]
    first = store.merge(members)
    rows = store.rows()
    assert store.merge(members) == first
    assert store.rows() == rows
    assert len(rows) == 5


def test_identical_inputs_are_one_row_of_the_first_trace(store):
    """Key order does not matter; expectations of later traces merge by key, the source stays."""
    first = _member("first", asked={"a": 1, "b": [2, None]}, expectations={"x": 1, "y": 1})
    later = _member("later", asked={"b": [2, None], "a": 1}, expectations={"y": 2, "z": 2})
    assert store.merge([first]) == store.merge([later])
    (row,) = store.rows()
    assert row.trace_id == first.trace_id
    assert row.expectations == {"x": 1, "y": 2, "z": 2}


@pytest.mark.parametrize(
    "asked", [{}, {"goal": "x", "question": "y"}, {"text": "ü€😀\n"}, {"n": 1.5, "big": 2**60, "list": [{"a": None}]}]
)
def test_any_json_object_is_an_input(store, asked):
    """Keys that MLflow reserves, characters of all planes and numbers of all sizes are found again by their digest."""
    (record_id,) = store.merge([_member(asked=asked)]).values()
    assert store.find([inputs_digest(asked)]) == {inputs_digest(asked): record_id}
    assert store.rows()[0].inputs == asked


def test_deleted_records_are_gone_and_deleting_again_is_no_error(store):
    """Only the records named go."""
    stays, goes = _member("stays"), _member("goes")
    record_ids = store.merge([stays, goes])
    for _ in range(2):
        store.delete([record_ids[goes.inputs_digest]])
    assert [row.trace_id for row in store.rows()] == [stays.trace_id]
    assert store.find([stays.inputs_digest, goes.inputs_digest]) == {
        stays.inputs_digest: record_ids[stays.inputs_digest]
    }


def test_rows_have_an_order_and_a_digest_of_their_content(store):
    """The order of arrival changes neither; a changed expectation changes the digest."""
    members = [_member(f"row {number}") for number in range(6)]
    store.merge(members[3:])
    store.merge(members[:3])
    rows = store.rows()
    assert [inputs_digest(row.inputs) for row in rows] == sorted(member.inputs_digest for member in members)
    before = content_digest(rows)
    assert content_digest(reversed(rows)) == before
    store.merge([replace(members[0], expectations={"fact": "Rome"})])
    assert content_digest(store.rows()) != before


def test_reconciling_brings_the_store_in_line(store):
    """Active rows are merged in batches, evicted ones deleted; what the ledger notes says so of each."""
    members = [_member(f"row {number}") for number in range(7)]
    record_ids = reconcile(store, members, batch_rows=3)
    assert sorted(record_ids) == sorted(member.inputs_digest for member in members)
    changed = [
        replace(members[0], state="evicted", record_id=record_ids[members[0].inputs_digest]),
        replace(members[1], state="evicted", record_id=None),
        _member("new"),
    ]
    noted = reconcile(store, changed, batch_rows=3)
    assert noted[members[0].inputs_digest] is None
    assert noted[members[1].inputs_digest] is None
    assert {row.trace_id for row in store.rows()} == {member.trace_id for member in [*members[2:], changed[2]]}


def test_reconciling_again_after_a_crash_doubles_nothing(store):
    """Rows that reached the store, but not the ledger, are the same records the second time."""
    members = [_member(f"row {number}") for number in range(4)]
    assert reconcile(store, members) == reconcile(store, members)
    assert len(store.rows()) == 4


def test_nothing_to_do_is_nothing_done(store):
    """Empty batches are no error."""
    store.ensure()
    assert reconcile(store, []) == {}
    assert store.merge([]) == {}
    assert store.rows() == []
