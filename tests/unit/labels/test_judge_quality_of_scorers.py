"""What people's labels say of the scorers, and how a judge that has moved is told from an app that has."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from monitor.alerts.settings import Severity
from monitor.clock import ManualClock
from monitor.errors import ServiceUnavailable
from monitor.labels.drawing import draw
from monitor.labels.quality import JudgeQuality, alike, doubt, quality_of
from monitor.labels.rejudging import HELD_BACK, MovedFindings, Rejudging, held_back, moved_findings
from monitor.labels.settings import LabellingSettings
from monitor.labels.standing_reader import JudgeStandings
from monitor.ledger.label_rows import FrozenRow, LabelledVerdict, LabelRow, VerdictTally
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.ledger.rows import SpendRow
from monitor.settings import SpendSettings
from monitor.spend.spending import SpendExhausted, Spending
from monitor.traces.memory_store import MemoryTraceStore
from scorers.errors import JudgeUnavailable
from scorers.settings import ScorerSettings
from scorers.suite import ScorerSuite
from tests.contracts.ledger.ledger_rows import alert, trace, verdict
from tests.sample_traces import sample_trace

NOW_MS = 1_790_000_000_000
VERSION = "0123456789ab"
SETTINGS = LabellingSettings(min_labels=5, agreement=0.8, frozen_rows=10)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A fresh ledger in memory."""
    opened = open_ledger("sqlite://")
    yield opened
    opened.close()


def judged(ledger: Ledger, number: int, human: str | None, *, drawn: bool = True, judge: str = "pass") -> str:
    """A judged trace, drawn for labelling or not, with a person's label or none."""
    trace_id = sample_trace(str(number)).info.trace_id
    decided = [replace(made, probability=0.5)] if drawn and (made := draw(trace_id, 1.0)) is not None else []
    ledger.intake.claim(trace(trace_id=trace_id, offset=number, event_time_ms=NOW_MS), decided)
    ledger.intake.record(
        verdict(trace_id=trace_id, label=judge, value=float(judge == "pass"), event_time_ms=NOW_MS, probability=1.0)
    )
    if human is not None:
        ledger.labels.record(
            LabelRow(
                id=f"a-{number}",
                trace_id=trace_id,
                scorer="safety",
                label=human,  # type: ignore[arg-type]
                rationale=None,
                labelled_by="ann",
                event_time_ms=NOW_MS,
                labelled_at_ms=NOW_MS,
                origin="mlflow",
                state="published",
            )
        )
    return trace_id


def quality(ledger: Ledger, version: str = VERSION):
    [found] = JudgeQuality(labels=ledger.labels, versions={"safety": version}, window=timedelta(days=1)).read(NOW_MS)
    return found


def test_only_labels_on_drawn_traces_count(ledger: Ledger) -> None:
    """A volunteered thumbs-down on each of ten traces changes no estimate, and those drawn do."""
    for number in range(6):
        judged(ledger, number, "pass")
    for number in range(6, 16):
        judged(ledger, number, "fail", drawn=False)
    found = quality(ledger)
    assert found.agreement is not None
    assert (found.agreement.n, found.agreement.share) == (6, 1.0)
    assert found.corrected is not None
    assert found.corrected.labels == 6
    assert doubt(found.agreement, SETTINGS) is None


def test_labels_of_another_version_of_the_scorer_say_nothing_of_this_one(ledger: Ledger) -> None:
    """The judge that people agreed with is gone."""
    for number in range(6):
        judged(ledger, number, "pass")
    found = quality(ledger, "another")
    assert (found.agreement, found.corrected) == (None, None)


@pytest.mark.parametrize(("wrong", "warns"), [(0, False), (1, False), (2, True)])
def test_a_scorer_that_people_disagree_with_warns_in_its_alerts(ledger: Ledger, wrong: int, warns: bool) -> None:
    """Below the configured share; too few labels warn of nothing."""
    for number in range(6):
        judged(ledger, number, "fail" if number < wrong else "pass")
    warning = doubt(quality(ledger).agreement, SETTINGS)
    assert (warning is not None) == warns
    assert doubt(quality(ledger).agreement, SETTINGS.model_copy(update={"min_labels": 7})) is None


def rejudging(ledger: Ledger, answers: dict[str, str], *, stored: int = 3, per_day: str | None = None) -> Rejudging:
    """What judges so many stored traces again, with a scorer that answers by the trace's id."""
    from mlflow.genai.scorers import scorer

    from scorers.catalog import ConfiguredScorer

    @scorer(name="safety")
    def safety(trace) -> str:
        answer = answers.get(trace.info.trace_id, "yes")
        if answer == "away":
            raise JudgeUnavailable("down", endpoint="http://judge")
        return answer

    traces = MemoryTraceStore()
    for number in range(stored):
        traces.put(sample_trace(str(number)))
    clock = ManualClock(NOW_MS)
    configured = ConfiguredScorer(
        name="safety",
        settings=ScorerSettings(name="safety", use="Safety"),
        scorer=safety,
        kind="judge",
        version=VERSION,
    )
    return Rejudging(
        labels=ledger.labels,
        frozen=ledger.frozen,
        traces=traces,
        suite=ScorerSuite([configured]),
        spending=Spending(ledger.spend, SpendSettings(per_day=per_day), {}, clock, attempts=1, evaluates=True),
        settings=SETTINGS,
        clock=clock,
        log=structlog.get_logger(),
    )


def test_labelled_traces_are_frozen_and_judged_again(ledger: Ledger) -> None:
    """What the judge said stays, what it says now stands beside it, and a trace that is gone leaves the set."""
    ids = [judged(ledger, number, "pass") for number in range(4)]
    work = rejudging(ledger, {ids[0]: "no"})
    assert work.run(None) == 3
    rows = {row.trace_id: (row.frozen, row.latest) for row in ledger.frozen.all()}
    assert rows == {ids[0]: ("pass", "fail"), ids[1]: ("pass", "pass"), ids[2]: ("pass", "pass")}


def test_judging_again_is_bounded_by_the_spend_and_waits_for_a_judge_that_is_away(ledger: Ledger) -> None:
    """What has no room today is judged another day; an outage is no verdict."""
    ids = [judged(ledger, number, "pass") for number in range(3)]
    work = rejudging(ledger, {}, per_day="4 calls")
    ledger.spend.add(SpendRow(day=NOW_MS // 86_400_000, purpose="evaluation", calls=1, microdollars=0))
    with pytest.raises(SpendExhausted):
        work.run(None)
    work = rejudging(ledger, dict.fromkeys(ids, "away"))
    with pytest.raises(ServiceUnavailable):
        work.run(None)
    assert {row.latest for row in ledger.frozen.all()} == {None}


def test_an_outage_in_the_middle_of_a_run_takes_no_answer_away(ledger: Ledger) -> None:
    """What the judge said before stays, so that nobody believes that it has come back."""
    ids = [judged(ledger, number, "pass") for number in range(8)]
    work = rejudging(ledger, dict.fromkeys(ids, "no"), stored=8)
    assert work.run(None) == 8
    work = rejudging(ledger, dict.fromkeys(ids[1:], "away") | {ids[0]: "no"}, stored=8)
    for row in ledger.frozen.all():
        ledger.frozen.note_latest(row, "fail", 1 if row.trace_id == ids[0] else 2)
    with pytest.raises(ServiceUnavailable):
        work.run(None)
    assert {row.latest for row in ledger.frozen.all()} == {"fail"}


def test_a_row_that_gets_no_answer_holds_up_no_other_and_the_oldest_answer_is_asked_for_first(ledger: Ledger) -> None:
    """It is an error for now; where the spend ends a run early, the next one goes on with those left out."""
    ids = [judged(ledger, number, "pass") for number in range(3)]
    work = rejudging(ledger, {ids[0]: "away"})
    assert work.run(None) == 2
    assert {row.trace_id: row.latest for row in ledger.frozen.all()} == {
        ids[0]: "error",
        ids[1]: "pass",
        ids[2]: "pass",
    }
    for row in ledger.frozen.all():
        ledger.frozen.note_latest(row, "pass", NOW_MS if row.trace_id != ids[2] else NOW_MS - 1)
    asked: list[str] = []

    class Noting(dict[str, str]):
        def get(self, trace_id: str, default: str) -> str:  # type: ignore[override]
            asked.append(trace_id)
            return default

    work = rejudging(ledger, Noting())
    assert work.run(None) == 3
    assert asked[0] == ids[2]


def frozen(number: int, was: str, now: str | None) -> FrozenRow:
    return FrozenRow(
        scorer="safety",
        scorer_version=VERSION,
        trace_id=f"tr-{number}",
        human="pass",
        frozen=was,  # type: ignore[arg-type]
        frozen_at_ms=1,
        latest=now,  # type: ignore[arg-type]
        latest_at_ms=2,
    )


@pytest.mark.parametrize(("moved", "bad"), [(0, False), (4, False), (8, True)])
def test_a_judge_has_moved_when_what_it_says_of_the_frozen_set_differs_by_more_than_chance(
    moved: int, bad: bool
) -> None:
    """Eight of twenty, all one way, are no chance; four are not enough at one in a hundred."""
    rows = [frozen(number, "pass", "fail" if number < moved else "pass") for number in range(20)]
    [found] = moved_findings([*rows, frozen(99, "pass", None), frozen(98, "pass", "error")], 0.01)
    assert (found.kind, found.bad, found.details["rows"]) == ("judge_moved", bad, 20)
    turned = [row.trace_id for row in rows if row.latest == "fail"]
    assert found.details["examples"] == [{"trace_id": trace_id} for trace_id in turned[:3]]


def test_regressions_are_held_back_while_the_alert_of_a_moved_judge_stands() -> None:
    """Of that scorer alone, and only once it fires."""
    moved = alert(kind="judge_moved", scorer="safety", state="firing")
    assert held_back([moved], "safety") == HELD_BACK
    assert held_back([moved], "short") is None
    assert held_back([replace(moved, state="pending")], "safety") is None


def test_an_alert_of_a_moved_judge_ends_with_its_version(ledger: Ledger) -> None:
    """A scorer that has changed has no frozen set yet."""
    opened = alert(kind="judge_moved", scorer="safety", state="firing")
    [found] = MovedFindings(ledger.frozen, {"safety": "new"}, {"safety": "page"}, 0.01).look([opened], NOW_MS)
    assert (found.scorer, found.bad) == ("safety", False)


@pytest.mark.parametrize("severity", ["page", "none", None], ids=["a page", "nothing", "in shadow"])
def test_a_moved_judge_is_worth_what_its_scorer_is(ledger: Ledger, severity: Severity | None) -> None:
    """And one of a scorer that alerts nobody is no alert."""
    ledger.frozen.freeze([frozen(number, "pass", None) for number in range(20)], 99)
    for row in ledger.frozen.all():
        ledger.frozen.note_latest(row, "fail", 2)
    severities = {} if severity is None else {"safety": severity}
    found = MovedFindings(ledger.frozen, {"safety": VERSION}, severities, 0.01).look([], NOW_MS)
    assert [(each.bad, each.severity) for each in found] == ([] if severity is None else [(True, severity)])


def test_a_moved_judge_that_gives_no_readable_answer_has_not_come_back(ledger: Ledger) -> None:
    """Nothing is known: the alert neither ends nor begins."""
    ledger.frozen.freeze([frozen(number, "pass", None) for number in range(20)], 99)
    for row in ledger.frozen.all():
        ledger.frozen.note_latest(row, "error", 2)
    opened = alert(kind="judge_moved", scorer="safety", state="firing")
    look = MovedFindings(ledger.frozen, {"safety": VERSION}, {"safety": "page"}, 0.01).look
    assert look([opened], NOW_MS) == []


@pytest.mark.parametrize("rate", [1.0, 0.1, 0.01])
def test_labels_are_rarer_than_verdicts_and_correct_the_rate_of_all(rate: float) -> None:
    """A hundred labels, ten thousand verdicts: the judge passes nine of ten, people a twentieth less."""
    pairs = [
        LabelledVerdict(
            trace_id=f"tr-{number}",
            scorer="safety",
            scorer_version=VERSION,
            human="pass" if number < 85 else "fail",
            judge="pass" if number < 90 else "fail",
            weight=1 / rate,
            verdict_weight=1.0,
        )
        for number in range(100)
    ]
    tallies = [
        VerdictTally(
            scorer="safety",
            scorer_version=VERSION,
            label=label,
            count=count,
            weight=float(count),
            squares=float(count),
            newest_ms=NOW_MS,
        )
        for label, count in (("pass", 9_000), ("fail", 1_000))
    ]
    found = quality_of("safety", pairs, tallies).corrected
    assert found is not None
    assert (found.method, found.rate) == ("ppi++", pytest.approx(0.85))
    # With people alone a hundred labels would leave 0.07 on each side.
    assert found.upper - found.rate < 0.05


def test_a_shadow_is_held_against_the_scorer_that_it_stands_beside(ledger: Ledger) -> None:
    """On the same traces, errors left out."""
    for number, (one, two) in enumerate([("pass", "pass"), ("pass", "fail"), ("fail", "fail"), ("error", "pass")]):
        for name, label in (("safety", one), ("shadow", two)):
            ledger.intake.record(
                verdict(trace_id=f"tr-{number}", scorer=name, label=label, assessment_id=f"a-{name}-{number}")
            )
    counts = ledger.figures.judged_alike(("shadow", VERSION), ("safety", VERSION), 0)
    assert counts["fail", "pass"] == 1
    found = alike(counts)
    assert found is not None
    assert (found.n, found.share) == (3, pytest.approx(2 / 3))
    assert alike({}) is None


def test_what_a_reworded_judge_said_before_is_no_part_of_its_agreement(ledger: Ledger) -> None:
    """Neither the shadow's nor that of the scorer beside it: an agreement is between the two as they are now."""
    said = [
        ("pass", VERSION, "pass", VERSION),
        ("fail", "1" * 12, "pass", VERSION),
        ("fail", VERSION, "pass", "1" * 12),
    ]
    for number, (one, version, two, other) in enumerate(said):
        for name, label, of in (("shadow", one, version), ("safety", two, other)):
            row = verdict(trace_id=f"tr-{number}", scorer=name, label=label, assessment_id=f"a-{name}-{number}")
            ledger.intake.record(replace(row, scorer_version=of, event_time_ms=NOW_MS))
    standings = JudgeStandings(
        ledger=ledger,
        settings=SETTINGS,
        judges=["safety"],
        versions={"safety": VERSION, "shadow": VERSION},
        shadows={"shadow": "safety", "unborn": "safety"},
        window=timedelta(days=1),
    )
    [standing] = standings.read(NOW_MS)
    agreements = {each.scorer: each.agreement for each in standing.shadows}
    assert agreements["unborn"] is None
    assert agreements["shadow"] is not None
    assert (agreements["shadow"].n, agreements["shadow"].share) == (1, 1.0)
