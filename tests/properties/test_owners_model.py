"""Two owners of the same partitions against one ledger, whose commits fail and whose answers get lost.

An owner works on what it believes to be its own, however long ago it lost it: what the ledger then holds is what a
simple model of the stream says.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from monitor.ledger import DecisionRow, TraceRow, VerdictRow, open_ledger
from monitor.ledger.errors import LedgerUnavailable

T = TypeVar("T")
SCORERS = ("safety", "greets")
PARTITIONS = (0, 1)
OWNERS = ("old", "new")
STATES = ("due", "parked", "left_out")
OUTCOMES = {"left_out": "sampled_out", "parked": "parked", "scored": "scored"}

partitions = st.sampled_from(PARTITIONS)
owners = st.sampled_from(OWNERS)
scorers = st.sampled_from(SCORERS)


@dataclass(kw_only=True)
class View:
    """What an owner believes: where the watermark stands, and up to where it has claimed events."""

    watermark: int
    claimed: int


class OwnersModel(RuleBasedStateMachine):
    """The model: which event owns which trace, what each scorer owes, where the watermarks stand, what was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = open_ledger("sqlite://")
        self.events: dict[int, list[str]] = {partition: [] for partition in PARTITIONS}
        self.watermark = dict.fromkeys(PARTITIONS, 0)
        self.unread: set[tuple[int, int]] = set()
        self.owner: dict[str, tuple[int, int]] = {}
        self.state: dict[tuple[str, str], str] = {}
        self.published: set[tuple[str, str]] = set()
        self.views: dict[tuple[str, int], View] = {}
        self.next_commit_fails = False
        self.commits_fail = False
        event.listen(self.ledger.database.engine, "commit", self._before_commit)

    def teardown(self) -> None:
        """Close the database."""
        self.ledger.close()

    @rule(partition=partitions, name=st.sampled_from("abcdef"))
    def produce(self, partition: int, name: str) -> None:
        """An event comes into the stream; the few names make duplicates."""
        self.events[partition].append(name)

    @rule()
    def let_the_next_commit_fail(self) -> None:
        """The database goes away in the middle of the next transaction."""
        self.next_commit_fails = True

    @rule(owner=owners, partition=partitions)
    def open(self, owner: str, partition: int) -> None:
        """An owner begins where the ledger says, whoever else believes to be at work there."""
        stands = self._try(lambda: self.ledger.positions.open("traces", partition, 0))
        if stands is not None:
            assert stands == self.watermark[partition]
            self.views[owner, partition] = View(watermark=stands, claimed=stands)

    @rule(owner=owners, partition=partitions, states=st.tuples(st.sampled_from(STATES), st.sampled_from(STATES)))
    def claim(self, owner: str, partition: int, states: tuple[str, str]) -> None:
        """The first event that brings a trace has it; what was decided first stands."""
        view = self.views.get((owner, partition))
        if view is None or view.claimed == len(self.events[partition]):
            return
        here, name = (partition, view.claimed), self.events[partition][view.claimed]
        decided = dict(zip(SCORERS, states, strict=True))
        claim = self._try(
            lambda: self.ledger.intake.claim(_trace(name, *here), [_decision(s, decided[s]) for s in SCORERS])
        )
        if claim is None:
            return
        known = name in self.owner
        if not known:
            self.owner[name] = here
            self.state |= {(name, scorer): decided[scorer] for scorer in SCORERS}
        assert claim.outcome == ("new" if not known else "again" if self.owner[name] == here else "duplicate")
        assert {row.subject: row.state for row in claim.decisions} == {s: self.state[name, s] for s in SCORERS}
        view.claimed += 1

    @precondition(lambda self: self.owner)
    @rule(data=st.data(), scorer=scorers)
    def record(self, data: st.DataObject, scorer: str) -> None:
        """A verdict, on time, worked off later, or a second one of an owner that does not know of the first."""
        name = data.draw(st.sampled_from(sorted(self.owner)))
        if self.state[name, scorer] == "left_out":
            return
        first = self._try(lambda: self.ledger.intake.record(_verdict(name, scorer)))
        if first is not None:
            assert first == (self.state[name, scorer] != "scored")
            self.state[name, scorer] = "scored"

    @precondition(lambda self: self.owner)
    @rule(data=st.data(), scorer=scorers)
    def park(self, data: st.DataObject, scorer: str) -> None:
        """What is due may be put off while its event is in hand; what is settled stays so."""
        name = data.draw(st.sampled_from(sorted(self.owner)))
        partition, offset = self.owner[name]
        if offset < self.watermark[partition]:
            return
        if self._try(lambda: self.ledger.intake.park(name, [scorer]) or True) and self.state[name, scorer] == "due":
            self.state[name, scorer] = "parked"

    @precondition(lambda self: "scored" in self.state.values())
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        """The assessments of one trace are in MLflow."""
        scored = sorted({name for (name, _), state in self.state.items() if state == "scored"})
        name = data.draw(st.sampled_from(scored))
        of_it = {(name, scorer) for scorer in SCORERS if self.state[name, scorer] == "scored"}
        if self._try(lambda: self.ledger.intake.mark_published(name, [s for _, s in of_it]) or True):
            self.published |= of_it

    @rule(owner=owners, partition=partitions, wanted=st.integers(1, 4), is_answered=st.booleans())
    def advance(self, owner: str, partition: int, wanted: int, is_answered: bool) -> None:
        """Only the owner whose view is true moves the watermark; one that lost the answer finds that it has."""
        view = self.views.get((owner, partition))
        if view is None:
            return
        end, counts = self._settled(partition, view, wanted)
        if end == view.watermark:
            return
        step = ("traces", partition, view.watermark, end, counts, end - view.watermark)
        moved = self._try(lambda: self.ledger.positions.advance(*step))
        if moved is None:
            return
        assert moved == (view.watermark == self.watermark[partition])
        if moved:
            self.watermark[partition] = end
            if not is_answered:
                assert not self.ledger.positions.advance(*step)
                assert self.ledger.positions.read("traces", partition) == end
            view.watermark = end
        else:
            del self.views[owner, partition]

    @rule(partition=partitions, count=st.integers(1, 2))
    def lose_to_retention(self, partition: int, count: int) -> None:
        """Events that nobody has claimed are deleted unread; the owner that finds out skips them, once."""
        start = self.watermark[partition]
        end = min(len(self.events[partition]), start + count)
        claimed = any((partition, offset) in self.owner.values() for offset in range(start, end))
        opened = any(place == partition for _, place in self.views)
        if end == start or claimed or not opened:
            return
        step = ("traces", partition, start, end, end - start)
        skipped = self._try(lambda: self.ledger.positions.skip(*step))
        if skipped is not None:
            assert skipped
            assert not self.ledger.positions.skip(*step)
            self.watermark[partition] = end
            self.unread |= {(partition, offset) for offset in range(start, end)}

    @invariant()
    def what_passed_is_accounted_for(self) -> None:
        """Once, under the outcome that stands now, whoever of the owners did it."""
        expected: Counter[tuple[str, str]] = Counter()
        passed = [
            (partition, offset)
            for partition in PARTITIONS
            for offset in range(self.watermark[partition])
            if (partition, offset) not in self.unread
        ]
        for partition, offset in passed:
            name = self.events[partition][offset]
            for scorer in SCORERS:
                own = self.owner[name] == (partition, offset)
                expected[scorer, OUTCOMES[self.state[name, scorer]] if own else "duplicates"] += 1
        found = {(row.scorer, row.outcome): row.count for row in self.ledger.positions.accounted()}
        assert found == dict(expected)
        assert self.ledger.positions.received() == len(passed)
        assert sum(row.lost for row in self.ledger.positions.all()) == len(self.unread)
        assert self.ledger.positions.mismatches() == []

    @invariant()
    def what_is_owed_and_what_is_to_be_shown_is_known(self) -> None:
        """The parked, and the verdicts that MLflow has not got."""
        parked = {(row.trace_id, row.scorer) for row in self.ledger.intake.parked(100)}
        assert parked == {key for key, state in self.state.items() if state == "parked"}
        unpublished = {(row.trace_id, row.scorer) for row in self.ledger.intake.unpublished(100)}
        assert unpublished == {key for key, state in self.state.items() if state == "scored"} - self.published

    def _try(self, work: Callable[[], T]) -> T | None:
        """The result of `work`; None where its transaction was rolled back."""
        if not self.next_commit_fails:
            return work()
        self.commits_fail = True
        with pytest.raises(LedgerUnavailable):
            work()
        self.commits_fail = self.next_commit_fails = False
        return None

    def _before_commit(self, _connection: object) -> None:
        if self.commits_fail:
            raise OperationalError("COMMIT", {}, RuntimeError("the database went away"))

    def _settled(self, partition: int, view: View, wanted: int) -> tuple[int, Counter[tuple[str, str, str]]]:
        """How far an owner could advance, and what it would count."""
        counts: Counter[tuple[str, str, str]] = Counter()
        end = view.watermark
        while end < min(view.claimed, view.watermark + wanted):
            name = self.events[partition][end]
            states = {scorer: self.state[name, scorer] for scorer in SCORERS}
            if self.owner[name] != (partition, end):
                states = dict.fromkeys(SCORERS, "duplicate")
            elif "due" in states.values():
                break
            counts.update((s, OUTCOMES.get(state, "duplicates"), "rate") for s, state in states.items())
            end += 1
        return end, counts


def _trace(name: str, partition: int, offset: int) -> TraceRow:
    return TraceRow(
        trace_id=name,
        source_id=name,
        topic="traces",
        partition=partition,
        offset=offset,
        event_time_ms=offset,
        name="answer",
        app_version=None,
        session_id=None,
        status="OK",
        inputs_digest=name,
        segments={},
    )


def _decision(scorer: str, state: str) -> DecisionRow:
    return DecisionRow(subject=scorer, kept=state != "left_out", probability=0.5, reason="rate", state=state)


def _verdict(name: str, scorer: str) -> VerdictRow:
    return VerdictRow(
        trace_id=name,
        scorer=scorer,
        scorer_version="0" * 12,
        assessment_id=f"a-{name}-{scorer}",
        label="pass",
        value=1.0,
        feedback={},
        rationale=None,
        error=None,
        probability=0.5,
        reason="rate",
        segments={},
        app_version=None,
        session_id=None,
        event_time_ms=0,
        topic="traces",
        partition=0,
        offset=0,
        judged_at_ms=0,
        duration_s=0.0,
    )


TestOwners = OwnersModel.TestCase
TestOwners.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
