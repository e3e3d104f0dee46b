"""Dataset membership against a simple model, and MLflow's dataset as what reconciliation makes of it."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitor.dataset.memory_store import MemoryDatasetStore
from monitor.dataset.reconcile import reconcile
from monitor.dataset.records import inputs_digest
from monitor.ledger import open_ledger
from monitor.ledger.errors import LeaseLost
from monitor.ledger.rows import LeaseToken, MemberRow

INPUTS = {inputs_digest({"q": name}): {"q": name} for name in "abc"}
DIGESTS = tuple(INPUTS)
TTL_S = 10.0
REPLICAS = ("first", "second")

digests = st.sampled_from(DIGESTS)


@dataclass(kw_only=True)
class Record:
    """What the model knows of a record: who owns it, and each expectation with the trace that it is from."""

    owner: str
    golden: bool
    evicted: bool = False
    expectations: dict[str, tuple[tuple[int, str], int]] = field(default_factory=dict)


class MembersModel(RuleBasedStateMachine):
    """Traces offered in any order and again, records evicted and brought back, and two replicas that reconcile."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = open_ledger("sqlite://")
        self.store = MemoryDatasetStore()
        self.records: dict[str, Record] = {}
        self.now_ms = 0
        self.tokens: dict[str, LeaseToken] = {}
        self.holder: str | None = None
        self.read_by: dict[str, list[MemberRow]] = {}

    def teardown(self) -> None:
        """Close the database."""
        self.ledger.close()

    @initialize()
    def one_holds_the_lease(self) -> None:
        """So that there is somebody to take it from."""
        self.take_over("first")

    @rule(
        digest=digests,
        number=st.integers(0, 5),
        golden=st.booleans(),
        expectations=st.dictionaries(st.sampled_from("xy"), st.integers(0, 3), max_size=2),
    )
    def offer(self, digest: str, number: int, golden: bool, expectations: dict[str, int]) -> None:
        """A trace is offered, perhaps one that was offered before, perhaps an older one than those there."""
        member = _member(digest, number, golden=golden, expectations=expectations)
        owns = self.ledger.members.offer(member)
        record = self.records.setdefault(digest, Record(owner=member.trace_id, golden=golden))
        assert owns == (record.owner == member.trace_id)
        record.golden |= golden
        record.evicted &= not record.golden
        source = (member.event_time_ms, member.trace_id)
        for key, value in expectations.items():
            if key not in record.expectations or record.expectations[key][0] < source:
                record.expectations[key] = (source, value)

    @precondition(lambda self: self.records)
    @rule(evicted=st.booleans(), holder=st.sampled_from(REPLICAS), wanted=st.sets(digests))
    def select(self, evicted: bool, holder: str, wanted: set[str]) -> None:
        """The selection evicts records and brings them back; a golden one stays, a holder of the past does nothing."""
        token = self.tokens.get(holder)
        if token is None:
            return
        change = ("production", wanted, "evicted" if evicted else "active", token)
        if holder != self.holder:
            with pytest.raises(LeaseLost):
                self.ledger.members.set_state(*change)
            return
        self.ledger.members.set_state(*change)
        for digest in wanted & set(self.records):
            record = self.records[digest]
            record.evicted = evicted and not record.golden

    @rule(holder=st.sampled_from(REPLICAS))
    def take_over(self, holder: str) -> None:
        """A replica takes the lease, because it is free or has run out."""
        self.now_ms += round(TTL_S * 1000) + 1
        token = self.ledger.lease.acquire("leader", holder, TTL_S, self.now_ms)
        assert token is not None
        self.tokens[holder], self.holder = token, holder

    @rule(holder=st.sampled_from(REPLICAS), limit=st.integers(1, 3))
    def begin_to_reconcile(self, holder: str, limit: int) -> None:
        """A replica reads what is due, and takes its time."""
        self.read_by[holder] = self.ledger.members.unreconciled("production", limit)

    @precondition(lambda self: self.read_by)
    @rule(data=st.data(), dies=st.booleans())
    def reconcile(self, data: st.DataObject, dies: bool) -> None:
        """The holder writes to MLflow what it has read, and notes it unless it dies or has lost the lease between."""
        holder = data.draw(st.sampled_from(sorted(self.read_by)))
        seen, token = self.read_by.pop(holder), self.tokens.get(holder)
        if token is None or holder != self.holder:
            if token is not None and seen:
                with pytest.raises(LeaseLost):
                    self.ledger.members.mark_reconciled("production", {seen[0].inputs_digest: "x"}, seen, token)
            return
        done = reconcile(self.store, seen)
        if not dies:
            self.ledger.members.mark_reconciled("production", done, seen, token)

    @invariant()
    def the_ledger_has_the_records_of_the_model(self) -> None:
        """Owners, expectations and what is evicted."""
        active = {row.inputs_digest: row for row in self.ledger.members.active("production")}
        assert set(active) == {digest for digest, record in self.records.items() if not record.evicted}
        for digest, row in active.items():
            record = self.records[digest]
            assert (row.trace_id, row.golden) == (record.owner, record.golden)
            assert dict(row.expectations) == {key: value for key, (_, value) in record.expectations.items()}
        assert self.ledger.members.count("production") == len(active)

    @rule()
    def settle(self) -> None:
        """Undisturbed, the dataset comes to hold exactly the active records, each once, as they are."""
        while due := self.ledger.members.unreconciled("production", 2):
            done = reconcile(self.store, due)
            self.ledger.members.mark_reconciled("production", done, due)
        shown = {inputs_digest(row.inputs): dict(row.expectations) for row in self.store.rows()}
        expected = {
            digest: {key: value for key, (_, value) in record.expectations.items()}
            for digest, record in self.records.items()
            if not record.evicted
        }
        assert shown == expected


def _member(digest: str, number: int, *, golden: bool, expectations: dict[str, Any]) -> MemberRow:
    return MemberRow(
        dataset="production",
        inputs_digest=digest,
        trace_id=f"tr-{digest[:4]}-{number}",
        segment="all",
        priority=0.5,
        probability=1.0,
        golden=golden,
        inputs=INPUTS[digest],
        outputs="an answer",
        expectations=expectations,
        tags={},
        event_time_ms=number,
    )


TestMembers = MembersModel.TestCase
TestMembers.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
