"""A re-evaluation: by a replica that loses the lease, within the day's spend, with the settings as configured."""

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.clock import ManualClock
from monitor.evaluation.errors import EvaluatorFailed
from monitor.evaluation.evaluator import EvaluationResult, ModelUsage
from monitor.evaluation.memory_evaluator import MemoryEvaluator
from monitor.evaluation.settings import EvaluationSettings
from monitor.ledger import LeaseLost, MemberRow, open_ledger
from monitor.reevaluation import Reevaluation
from monitor.settings import SpendSettings
from monitor.spend.spending import SpendExhausted, Spending
from scorers.settings import JudgeSettings, ScorerSettings

SETTINGS = {"baseline": "v1", "versions": {"v1": {"function": "shop:v1"}, "v2": {"function": "shop:v2"}}}


@pytest.fixture
def ledger(tmp_path: Path):
    """A ledger with one dataset row."""
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    opened.members.offer(
        MemberRow(
            dataset="production",
            inputs_digest="d" * 64,
            trace_id="tr-1",
            segment="all",
            priority=1.0,
            probability=1.0,
            golden=False,
            inputs={"question": "why?"},
            outputs="because",
            expectations={},
            tags={},
            event_time_ms=1,
        )
    )
    yield opened
    opened.close()


def reevaluation(ledger, answer, *, spend: str | None = None, **settings: object) -> Reevaluation:
    clock = ManualClock(5)
    limits = SpendSettings(per_day=spend, evaluation_share=0.5)
    return Reevaluation(
        ledger=ledger,
        evaluator=MemoryEvaluator({"v1": answer, "v2": answer}, {"short": lambda _inputs, _outputs: True}),
        settings=EvaluationSettings.model_validate({**SETTINGS, **settings}),
        scorers=(ScorerSettings.model_validate({"name": "short", "use": "AnswerLength", "max_length": 9}),),
        judges=frozenset({"short"}) if spend else frozenset(),
        judge=JudgeSettings(),
        dataset="production",
        clock=clock,
        spending=Spending(ledger.spend, limits, {}, clock, attempts=1, evaluates=True),
    )


def test_it_does_not_begin_without_the_lease(ledger) -> None:
    """No version is asked, and no row is written."""
    lost = ledger.lease.acquire("leader", "frozen", 1.0, 0)
    ledger.lease.acquire("leader", "awake", 1.0, 60_000)
    asked: list[object] = []
    with pytest.raises(LeaseLost):
        reevaluation(ledger, asked.append).run(token=lost)
    assert asked == []
    assert ledger.evaluations.latest() is None


def test_a_lease_lost_on_the_way_leaves_no_result_and_no_open_end(ledger) -> None:
    """The row says why it has no result, and no comparison is published."""
    token = ledger.lease.acquire("leader", "frozen", 1.0, 0)

    def answer(_inputs: object) -> str:
        ledger.lease.acquire("leader", "awake", 1.0, 60_000)
        return "because"

    with pytest.raises(LeaseLost):
        reevaluation(ledger, answer).run(token=token)
    latest = ledger.evaluations.latest()
    assert latest.state == "failed"
    assert "no longer held by frozen" in latest.error
    assert ledger.evaluations.comparisons(["v2"]) == []


def test_the_spend_must_have_room_for_every_repeat_of_every_answer(ledger) -> None:
    """One row, two versions, three repeats: six calls do not fit into half of ten, and fit into half of twelve."""
    asked: list[object] = []
    with pytest.raises(SpendExhausted):
        reevaluation(ledger, asked.append, spend="10 calls", repeats=3).run()
    assert asked == []
    result = reevaluation(ledger, asked.append, spend="12 calls", repeats=3).run()
    assert len(asked) == 2
    assert result.comparisons["v2"]["repeats"] == 3


def test_an_evaluation_that_fails_gives_back_what_it_did_not_use(ledger) -> None:
    """And is charged for what judging had asked by then."""

    class Failing(MemoryEvaluator):
        def evaluate(self, *_: object) -> EvaluationResult:
            error = EvaluatorFailed("the store is away")
            error.usage = {"small": ModelUsage(calls=1)}
            raise error

    work = replace(reevaluation(ledger, str, spend="20 calls"), evaluator=Failing({}, {}))
    for spent in (1, 2):
        with pytest.raises(EvaluatorFailed):
            work.run()
        assert {pot.name: pot.spent for pot in work.spending.pots()} == {"scoring": 0, "evaluation": spent}


def test_the_settings_of_an_early_stop_reach_the_evaluation(ledger) -> None:
    """The comparison says that its rows could have stopped."""
    result = reevaluation(ledger, lambda _inputs: "because", early_stop=True, batch_rows=1).run()
    assert result.comparisons["v2"]["early_stop"]["planned"] == 1
