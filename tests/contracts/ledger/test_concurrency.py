"""Replicas that act at the same instant."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from subprocess import PIPE
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from monitor.ledger import Ledger, open_ledger
from monitor.ledger.schema import positions
from tests.contracts.ledger.ledger_rows import decision, member, trace, verdict

T = TypeVar("T")
ROUNDS = 15


def at_once(*acts: Callable[[], T]) -> list[T]:
    """What the acts return, all let go at the same instant on threads of their own."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], T]) -> T:
        barrier.wait(timeout=30)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result(timeout=60) for future in [pool.submit(run, act) for act in acts]]


def test_threads_open_an_empty_database_at_once(ledger_url: str) -> None:
    """All get a ledger with one schema."""
    ledgers = at_once(*[lambda: open_ledger(ledger_url)] * 3)
    assert [opened.positions.open("traces", 0, number) for number, opened in enumerate(ledgers)] == [0, 0, 0]
    for opened in ledgers:
        opened.close()


def test_processes_open_an_empty_database_at_once(ledger_url: str) -> None:
    """Replicas that start together take turns at migrating."""
    start = "import sys; from monitor.ledger import open_ledger; print('ready', flush=True); sys.stdin.readline()"
    command = [sys.executable, "-c", f"{start}; open_ledger({ledger_url!r}).probe()"]
    with ExitStack() as running:
        replicas = [
            running.enter_context(subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True))
            for _ in range(3)
        ]
        for replica in replicas:
            assert replica.stdout is not None
            assert replica.stdout.readline() == "ready\n"
        for replica in replicas:
            assert replica.stdin is not None
            replica.stdin.write("go\n")
            replica.stdin.flush()
        assert [(replica.communicate(timeout=60)[1], replica.returncode) for replica in replicas] == [("", 0)] * 3


def test_one_of_two_events_owns_the_trace(ledger: Ledger, other: Ledger) -> None:
    """The same trace claimed at two positions is new for exactly one, and the loser learns who owns it."""
    for number in range(ROUNDS):
        rows = [trace(trace_id=f"tr-{number}", partition=partition) for partition in (0, 1)]
        claims = at_once(
            lambda row=rows[0]: ledger.intake.claim(row, [decision()]),
            lambda row=rows[1]: other.intake.claim(row, [decision()]),
        )
        assert sorted(claim.outcome for claim in claims) == ["duplicate", "new"]
        winner = rows[[claim.outcome for claim in claims].index("new")]
        assert {claim.owner for claim in claims} == {winner.position}


def test_batches_that_overlap_in_opposite_order_do_not_block_each_other(ledger: Ledger, other: Ledger) -> None:
    """Every trace is new exactly once, and no transaction is given up for a deadlock."""
    here = [(trace(trace_id=f"tr-{number}", partition=0), [decision()]) for number in range(40)]
    there = [(trace(trace_id=f"tr-{number}", partition=1), [decision()]) for number in reversed(range(40))]
    claims = at_once(lambda: ledger.intake.claim_all(here), lambda: other.intake.claim_all(there))
    assert Counter(claim.outcome for batch in claims for claim in batch) == {"new": 40, "duplicate": 40}


def test_one_of_two_verdicts_stands(ledger: Ledger, other: Ledger) -> None:
    """The same verdict recorded twice at once is there once, and exactly one writer is told that it is the first."""
    for number in range(ROUNDS):
        row = verdict(trace_id=f"tr-{number}")
        ledger.intake.claim(trace(trace_id=f"tr-{number}", offset=number), [decision()])
        firsts = at_once(lambda row=row: ledger.intake.record(row), lambda row=row: other.intake.record(row))
        assert sorted(firsts) == [False, True]
        assert len(ledger.intake.verdicts_of(f"tr-{number}")) == 1


def test_a_step_happens_once_however_many_take_it(ledger: Ledger, other: Ledger) -> None:
    """Two owners that believe in the same partition move its watermark once, and count once."""
    ledger.positions.open("traces", 0, 0)
    counts = {("safety", "scored", "rate"): 1, ("greets", "scored", "rate"): 1}
    for number in range(ROUNDS):
        moved = at_once(
            lambda at=number: ledger.positions.advance("traces", 0, at, at + 1, counts, received=1),
            lambda at=number: other.positions.advance("traces", 0, at, at + 1, counts, received=1),
        )
        assert sorted(moved) == [False, True]
    assert {row.count for row in ledger.positions.accounted()} == {ROUNDS}
    assert ledger.positions.received() == ROUNDS


def test_the_budget_is_never_overdrawn(ledger: Ledger, other: Ledger) -> None:
    """Replicas that reserve at once, in minutes that differ, get together what is left and no more."""
    grants = at_once(
        *[
            lambda replica=replica, minute=minute: sum(
                replica.budget.reserve_calls(3, minute, per_hour=50) for _ in range(10)
            )
            for replica in (ledger, other)
            for minute in (100, 101)
        ]
    )
    assert sum(grants) == 50
    assert ledger.budget.calls_in_last_hour(101) == 50


def test_one_factor_and_all_demand(ledger: Ledger, other: Ledger) -> None:
    """Factors proposed at once become one; demand added at once is all there."""
    for minute in range(ROUNDS):
        factors = at_once(
            lambda minute=minute: ledger.budget.factor("safety", minute, lambda: 0.25),
            lambda minute=minute: other.budget.factor("safety", minute, lambda: 0.75),
        )
        assert len(set(factors)) == 1
        at_once(
            lambda: ledger.budget.add_demand(0, {"a": 1, "b": 1}),
            lambda: other.budget.add_demand(0, {"b": 1, "a": 1}),
        )
    assert ledger.budget.demand([0]) == {0: {"a": 2 * ROUNDS, "b": 2 * ROUNDS}}


def test_one_of_two_gets_the_lease(ledger: Ledger, other: Ledger) -> None:
    """Each time the lease runs out exactly one of those that want it has it, with a token never seen before."""
    tokens = []
    for number in range(ROUNDS):
        won = at_once(
            lambda now=number: ledger.lease.acquire("lead", f"a{now}", 1, now * 2_000),
            lambda now=number: other.lease.acquire("lead", f"b{now}", 1, now * 2_000),
        )
        winners = [token for token in won if token is not None]
        assert len(winners) == 1
        tokens.append(winners[0].token)
    assert tokens == sorted(set(tokens))


def test_nobody_takes_the_lease_while_its_holder_publishes(ledger: Ledger, other: Ledger) -> None:
    """A guarded transaction commits before another can hold the lease, even one whose time is up."""
    token = ledger.lease.acquire("lead", "a", 1, 0)
    order: list[str] = []
    guarded = threading.Event()

    def publish() -> None:
        with ledger.database.write() as connection:
            ledger.lease.guard(connection, token)
            guarded.set()
            # The other is let go now, and blocks on the row: give it every chance to be first.
            threading.Event().wait(0.2)
            order.append("published")

    def take() -> None:
        assert guarded.wait(timeout=30)
        assert other.lease.acquire("lead", "b", 1, 60_000) is not None
        order.append("taken")

    at_once(publish, take)
    assert order == ["published", "taken"]


def test_expectations_offered_at_once_all_arrive(ledger: Ledger, other: Ledger) -> None:
    """One trace owns the record, and every trace's expectations are in it."""
    for number in range(ROUNDS):
        for names in (("a", "b"), ("c", "d"), ("e", "f")):
            owned = at_once(
                *[
                    lambda replica=replica, name=name, digest=f"d{number}": replica.members.offer(
                        member(inputs_digest=digest, trace_id=name, expectations={name: 1})
                    )
                    for replica, name in zip((ledger, other), names, strict=True)
                ]
            )
            assert sorted(owned) == ([False, True] if names == ("a", "b") else [False, False])
    assert all(set(row.expectations) == set("abcdef") for row in ledger.members.active("production"))


def test_a_read_sees_one_instant(ledger: Ledger, other: Ledger) -> None:
    """What is committed between two statements of a read does not show in it, so that sums over tables agree."""
    count = select(func.count()).select_from(positions)
    with ledger.database.read() as connection:
        assert connection.execute(count).scalar_one() == 0
        other.positions.open("traces", 0, 0)
        assert connection.execute(count).scalar_one() == 0
    assert len(ledger.positions.all()) == 1


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_threads_share_a_ledger_in_memory(url: str) -> None:
    """The in-memory form holds the same promises among threads."""
    ledger = open_ledger(url)
    claims = at_once(*[lambda part=part: ledger.intake.claim(trace(partition=part), [decision()]) for part in range(4)])
    assert Counter(claim.outcome for claim in claims) == {"new": 1, "duplicate": 3}
    ledger.close()
