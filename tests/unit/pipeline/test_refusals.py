"""A trace store that answers with errors of its own: waited for where it fails on everything, given up on one trace."""

import pytest
from sample_traces import sample_trace

from consumers.decoding import decode
from consumers.settings import DecodingLimits
from monitor.ledger.rows import DecisionRow
from monitor.pipeline.owed import work_off_parked
from monitor.pipeline.refusals import StorePatience
from monitor.traces.errors import TraceRejected, TraceStoreFailing
from monitor.traces.memory_store import MemoryTraceStore
from tests.contracts.ledger.ledger_rows import trace, verdict
from tests.unit.pipeline.conftest import NOW_MS


def mlflow_id(message):
    """MLflow's id of the trace of a message."""
    return decode(message, "tracewatch+json", DecodingLimits(), NOW_MS).trace_id


class Failing(MemoryTraceStore):
    """Answers 500 to the traces named, and to everything so many times at first."""

    def __init__(self, *poison: str, away: int = 0) -> None:
        super().__init__()
        self.poison, self.away, self.asked = set(poison), away, 0

    def takes_writes(self) -> bool:
        """Once it is well."""
        return self.away <= 0

    def _answer(self, trace_id: str) -> None:
        self.asked += 1
        self.away -= 1
        if self.away >= 0 or trace_id in self.poison:
            raise TraceStoreFailing("too many 500 error responses")

    def put(self, trace, assessments=()):
        """Store, or fail."""
        self._answer(trace.info.trace_id)
        super().put(trace, assessments)

    def get(self, trace_id):
        """Read, or fail."""
        self._answer(trace_id)
        return super().get(trace_id)


def test_a_store_that_fails_on_everything_is_waited_for(stage):
    """However long: nobody's trace is to blame."""
    store = Failing(away=50)
    StorePatience(patience=stage.patience(), traces=store).call(lambda: store.put(sample_trace()))
    assert (store.asked, len(store.ids())) == (51, 1)


def test_a_trace_on_which_alone_the_store_fails_is_given_up(stage):
    """After eight failures, each while it took another write."""
    poison = sample_trace()
    store = Failing(poison.info.trace_id)
    with pytest.raises(TraceRejected, match="500"):
        StorePatience(patience=stage.patience(), traces=store).call(lambda: store.put(poison))
    assert store.asked == 8


def test_a_letter_of_a_refused_trace_that_is_taken_in_again_is_scored(stage):
    """Its first try owns the trace no more: it is not its own duplicate."""
    message = stage.event("one")
    stage.run(traces=Failing(mlflow_id(message)))
    assert [each.header("tracewatch.reason") for each in stage.letters.letters] == [b"trace_rejected"]
    stage.event("one")
    stage.run()
    assert stage.counts()["safe", "scored"] == 1
    assert ("safe", "duplicates") not in stage.counts()
    assert stage.judged.count("safe:one") == 1


def test_feedback_on_a_trace_that_mlflow_cannot_read_is_kept_and_stops_nothing(stage):
    """The label stands in the ledger; it is not tried for ever."""
    trace_id = mlflow_id(stage.event("one"))
    stage.run()
    stage.topic.append(
        f'{{"trace_id": "one", "name": "safe", "value": true, "timestamp_ms": {stage.clock.now_ms()}}}'.encode(),
        partition=0,
        headers=(("content-type", b"feedback+json"),),
    )
    stage.run(traces=Failing(trace_id))
    ledger = stage.open()
    assert [(row.scorer, row.passed) for row in ledger.labels.counts(0)] == [("safe", 1)]
    assert ledger.labels.waiting_of(trace_id) == []


def test_a_parked_trace_that_mlflow_cannot_read_holds_up_no_other(stage):
    """It is an error; the others are judged once each."""
    stage.sampling = stage.sampling.model_copy(update={"judge_calls_per_hour": 1, "min_rate": 1.0})
    stage.scorers.pop("short")
    for number in range(5):
        stage.event(f"event {number}")
    stage.run()
    ledger = stage.open()
    parked = ledger.intake.parked(10, scorers=["safe"])
    assert len(parked) == 4
    store = Failing(parked[0].trace_id)
    for trace_id in stage.traces.ids():
        MemoryTraceStore.put(store, stage.traces.get(trace_id))
    stage.sampling = stage.sampling.model_copy(update={"judge_calls_per_hour": None})
    stage.stop.clear()
    before = len(stage.judged)
    assert work_off_parked(stage.effects(ledger, store), workers=2) == 4
    assert ledger.intake.parked(10, scorers=["safe"]) == []
    assert len(stage.judged) - before == 3
    assert [row.label for row in ledger.intake.verdicts_of(parked[0].trace_id)] == ["error"]


def test_a_claim_is_given_back_only_where_nothing_came_of_it(stage):
    """A verdict, or another owner, keeps it."""
    ledger = stage.open()
    due = DecisionRow(subject="safety", kept=True, probability=1.0, reason="rate", state="due")
    ledger.intake.claim(trace(), [due])
    ledger.intake.give_back(trace(offset=99))
    assert ledger.intake.claim(trace(), [due]).outcome == "again"
    ledger.intake.give_back(trace())
    assert ledger.intake.claim(trace(offset=99), [due]).outcome == "new"
    ledger.intake.record(verdict())
    ledger.intake.give_back(trace(offset=99))
    assert ledger.intake.claim(trace(offset=100), [due]).outcome == "duplicate"
