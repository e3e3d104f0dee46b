"""The ledger against a simple model of a stream, for every interleaving that Hypothesis thinks of."""

from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from monitor.ledger import DecisionRow, EventPosition, RetentionSettings, TraceRow, VerdictRow, open_ledger

SCORERS = ("safety", "greets")
PARTITIONS = (0, 1)
STATES = ("due", "parked", "left_out")

_DAY = timedelta(days=1)

partitions = st.sampled_from(PARTITIONS)
scorers = st.sampled_from(SCORERS)


class Stream(RuleBasedStateMachine):
    """Two partitions of events, some of them duplicates, taken in, scored, parked, redelivered, passed and forgotten.

    The model knows which event owns which trace and what each scorer owes; each owner of a partition handles events
    from the watermark on, stops anywhere (a crash), and the next begins at the watermark again. A trace that retention
    has forgotten is new when it comes again; what it was counted as stands.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ledger = open_ledger("sqlite://")
        self.events: dict[int, list[str]] = {partition: [] for partition in PARTITIONS}
        self.watermark = dict.fromkeys(PARTITIONS, 0)
        self.handled = dict.fromkeys(PARTITIONS, 0)
        self.owner: dict[str, tuple[int, int]] = {}
        self.state: dict[tuple[str, str], str] = {}
        self.verdicts: set[tuple[str, str]] = set()
        self.own: dict[tuple[int, int], bool] = {}
        self.final: dict[tuple[int, int], dict[str, str]] = {}
        for partition in PARTITIONS:
            self.ledger.positions.open("traces", partition, 0)

    def teardown(self) -> None:
        """Close the database."""
        self.ledger.close()

    @rule(partition=partitions, names=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5))
    def produce(self, partition: int, names: list[str]) -> None:
        """Events come into the stream; the few names make duplicates."""
        self.events[partition].extend(names)

    @precondition(lambda self: any(self.handled[p] < len(self.events[p]) for p in PARTITIONS))
    @rule(decided=st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from(STATES)), min_size=1, max_size=5))
    def take_in(self, decided: list[tuple[str, str]]) -> None:
        """The owners claim the next events, deciding perhaps otherwise than they did before a crash."""
        for states in decided:
            partition = max(PARTITIONS, key=lambda each: len(self.events[each]) - self.handled[each])
            if self.handled[partition] < len(self.events[partition]):
                self._take_in(partition, states)

    def _take_in(self, partition: int, states: tuple[str, str]) -> None:
        offset = self.handled[partition]
        name = self.events[partition][offset]
        decided = dict(zip(SCORERS, states, strict=True))
        claim = self.ledger.intake.claim(_trace(name, partition, offset), [_decision(s, decided[s]) for s in SCORERS])
        here = (partition, offset)
        expected = "new" if name not in self.owner else "again" if self.owner[name] == here else "duplicate"
        assert claim.outcome == expected
        if expected == "new":
            self.owner[name] = here
            self.state |= {(name, scorer): decided[scorer] for scorer in SCORERS}
        assert claim.owner == EventPosition(topic="traces", partition=self.owner[name][0], offset=self.owner[name][1])
        assert {d.subject: d.state for d in claim.decisions} == {s: self.state[name, s] for s in SCORERS}
        assert claim.scored == {s for s in SCORERS if expected != "new" and (name, s) in self.verdicts}
        self.own[here] = expected != "duplicate"
        self.handled[partition] = offset + 1

    @precondition(lambda self: self.owner)
    @rule(names=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8), scorer=scorers, error=st.booleans())
    def score(self, names: list[str], scorer: str, error: bool) -> None:
        """Verdicts that are due or parked are recorded, or some that are there come a second time."""
        for name in names:
            if self.state.get((name, scorer), "left_out") != "left_out" and name in self.owner:
                self._score(name, scorer, error=error)

    def _score(self, name: str, scorer: str, *, error: bool) -> None:
        first = self.ledger.intake.record(_verdict(name, scorer, error=error))
        assert first == ((name, scorer) not in self.verdicts)
        self.verdicts.add((name, scorer))
        self.state[name, scorer] = "scored"

    @precondition(lambda self: self.owner)
    @rule(data=st.data(), scorer=scorers)
    def park(self, data: st.DataObject, scorer: str) -> None:
        """A call that is due is found to be over the budget, while its event is still in hand."""
        name = data.draw(st.sampled_from(sorted(self.owner)))
        partition, offset = self.owner[name]
        if offset >= self.watermark[partition]:
            self.ledger.intake.park(name, [scorer])
            if self.state[name, scorer] == "due":
                self.state[name, scorer] = "parked"

    @rule(partition=partitions, wanted=st.integers(1, 8))
    def advance(self, partition: int, wanted: int) -> None:
        """The watermark passes events that owe nothing, or only what is parked; a second owner that tries is fenced."""
        start = self.watermark[partition]
        counts: Counter[tuple[str, str, str]] = Counter()
        end = start
        while end < min(self.handled[partition], start + wanted):
            outcomes = self._outcomes(partition, end)
            if outcomes is None:
                break
            counts.update(outcomes)
            end += 1
        if end == start:
            return
        arguments = ("traces", partition, start, end, counts)
        assert self.ledger.positions.advance(*arguments, received=end - start)
        assert not self.ledger.positions.advance(*arguments, received=end - start)
        self.watermark[partition] = end

    @rule(partition=partitions)
    def finish(self, partition: int) -> None:
        """The owner judges all that is due of what it has in hand, and passes over it."""
        for offset in range(self.watermark[partition], self.handled[partition]):
            name = self.events[partition][offset]
            for scorer in SCORERS:
                if self.own[partition, offset] and self.state[name, scorer] == "due":
                    self._score(name, scorer, error=False)
        self.advance(partition, self.handled[partition] - self.watermark[partition])

    @rule(before=st.sampled_from((3, 1_000)), verdicts_too=st.booleans())
    def forget(self, before: int, verdicts_too: bool) -> None:
        """What came at an offset below is too old now, its verdicts perhaps as well."""
        kept = RetentionSettings(traces=_DAY, verdicts=_DAY if verdicts_too else 999 * _DAY)
        self.ledger.retention.prune(kept, before + _DAY // timedelta(milliseconds=1))
        for name, (partition, offset) in list(self.owner.items()):
            states = {scorer: self.state[name, scorer] for scorer in SCORERS}
            if offset < min(before, self.watermark[partition]) and not {"due", "parked"} & set(states.values()):
                del self.owner[name]
                self.final[partition, offset] = states
        assert {name for name in "abcdefgh" if self.ledger.intake.trace_of(name)} == set(self.owner)
        if verdicts_too:
            self.verdicts.clear()

    @rule(partition=partitions)
    def crash(self, partition: int) -> None:
        """The owner dies; the next one starts where the ledger says."""
        stands = self.ledger.positions.read("traces", partition)
        assert stands is not None
        self.handled[partition] = stands

    @invariant()
    def every_event_is_accounted_for(self) -> None:
        """The ledger's accounting is that of the events below the watermarks, by their outcomes as of now."""
        expected: Counter[tuple[str, str]] = Counter()
        for partition in PARTITIONS:
            for offset in range(self.watermark[partition]):
                name = self.events[partition][offset]
                for scorer in SCORERS:
                    here = (partition, offset)
                    state = self.final[here][scorer] if here in self.final else self.state[name, scorer]
                    expected[scorer, _outcome(state) if self.own[here] else "duplicate"] += 1
        found = {(row.scorer, row.outcome): row.count for row in self.ledger.positions.accounted()}
        assert found == dict(expected)
        assert self.ledger.positions.received() == sum(self.watermark.values())
        assert self.ledger.positions.mismatches() == []
        assert {p: self.ledger.positions.read("traces", p) for p in PARTITIONS} == self.watermark

    @invariant()
    def what_is_owed_is_what_is_parked(self) -> None:
        """Exactly the parked are there to be worked off."""
        parked = {(row.trace_id, row.scorer) for row in self.ledger.intake.parked(100)}
        assert parked == {key for key, state in self.state.items() if state == "parked" and key[0] in self.owner}

    def _outcomes(self, partition: int, offset: int) -> list[tuple[str, str, str]] | None:
        name = self.events[partition][offset]
        if not self.own[partition, offset]:
            return [(scorer, "duplicate", "position") for scorer in SCORERS]
        states = {scorer: self.state[name, scorer] for scorer in SCORERS}
        if "due" in states.values():
            return None
        return [(scorer, _outcome(state), "rate") for scorer, state in states.items()]


def _outcome(state: str) -> str:
    return {"left_out": "sampled_out"}.get(state, state)


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


def _verdict(name: str, scorer: str, *, error: bool) -> VerdictRow:
    return VerdictRow(
        trace_id=name,
        scorer=scorer,
        scorer_version="0" * 12,
        assessment_id=f"a-{name}-{scorer}",
        label="error" if error else "pass",
        value=None if error else 1.0,
        feedback={},
        rationale=None,
        error="it raised" if error else None,
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
        published=True,
    )


TestStream = Stream.TestCase
TestStream.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
