"""Labels, the traces drawn for them, and the frozen set."""

from dataclasses import replace
from typing import Any

import pytest

from monitor.ledger import FrozenRow, LabelRow, LeaseLost, Ledger, RetentionSettings, TraceTime, VerdictTally
from monitor.ledger.label_rows import LABELS
from monitor.ledger.labels import latest_version
from tests.contracts.ledger.ledger_rows import decision, trace, verdict

DAY_MS = 86_400_000


def label(**given: Any) -> LabelRow:
    """A pass for `safety` on tr-1, from MLflow."""
    row = LabelRow(
        id="a-label",
        trace_id="tr-1",
        scorer="safety",
        label="pass",
        rationale="It is.",
        labelled_by="ann",
        event_time_ms=500,
        labelled_at_ms=5_000,
        origin="mlflow",
        state="published",
    )
    return replace(row, **given)


def draw(**given: Any) -> Any:
    """The decision that draws a trace."""
    return decision(LABELS, probability=0.01, reason="labels", state="drawn", **given)


def take_in(ledger: Ledger, trace_id: str, *, drawn: bool, event_time_ms: int = 1_000, **given: Any) -> None:
    """A trace with a verdict of `safety`, drawn for labelling or not."""
    row = trace(trace_id=trace_id, event_time_ms=event_time_ms, offset=int(trace_id[3:]))
    ledger.intake.claim(row, [decision(), *([draw()] if drawn else [])])
    ledger.intake.record(
        verdict(trace_id=trace_id, assessment_id=f"a-{trace_id}", event_time_ms=event_time_ms, **given)
    )


def labels_of(ledger: Ledger) -> list[tuple[str, str, str]]:
    """Trace, human and judge of each labelled verdict."""
    return sorted((each.trace_id, each.human, each.judge) for each in ledger.labels.labelled_verdicts(0))


def test_only_labels_on_drawn_traces_are_compared_with_verdicts(ledger: Ledger) -> None:
    """A label on a trace that nobody drew is counted, and compared with nothing."""
    take_in(ledger, "tr-1", drawn=True)
    take_in(ledger, "tr-2", drawn=False)
    ledger.labels.record(label(id="a-1", trace_id="tr-1", label="fail"))
    ledger.labels.record(label(id="a-2", trace_id="tr-2", label="fail"))
    ledger.labels.record(label(id="a-3", trace_id="tr-1", scorer="thumbs", label="error"))
    assert labels_of(ledger) == [("tr-1", "fail", "pass")]
    counted = {(each.scorer, each.drawn): (each.passed, each.failed, each.unread) for each in ledger.labels.counts(0)}
    assert counted == {("safety", True): (0, 1, 0), ("safety", False): (0, 1, 0), ("thumbs", True): (0, 0, 1)}
    assert ledger.labels.counts(1_001) == []


def test_a_label_weighs_the_inverse_of_the_probability_of_verdict_and_draw(ledger: Ledger) -> None:
    """A trace judged with probability .5 and drawn with .01 stands for 200."""
    take_in(ledger, "tr-1", drawn=True, probability=0.5)
    ledger.labels.record(label())
    [found] = ledger.labels.labelled_verdicts(0)
    assert found.weight == pytest.approx(200)
    assert (found.scorer, found.scorer_version) == ("safety", "0123456789ab")


@pytest.mark.parametrize(
    "changes", [{"label": "error", "value": None}, {"probability": 0.0}], ids=["error", "weight 0"]
)
def test_a_verdict_that_says_nothing_is_not_compared(ledger: Ledger, changes: dict[str, Any]) -> None:
    """An error verdict, and one outside the population, have no label to be held against."""
    take_in(ledger, "tr-1", drawn=True, **changes)
    ledger.labels.record(label())
    assert labels_of(ledger) == []


def test_the_latest_word_stands_in_whatever_order_words_come(ledger: Ledger) -> None:
    """Of one id the later label counts, of several people's labels on one trace the latest that can be read."""
    take_in(ledger, "tr-1", drawn=True)
    ledger.labels.record(label(label="fail", labelled_at_ms=6_000))
    ledger.labels.record(label(label="pass", labelled_at_ms=5_000))
    assert labels_of(ledger) == [("tr-1", "fail", "pass")]
    ledger.labels.record(label(id="a-bob", label="pass", labelled_at_ms=7_000))
    assert labels_of(ledger) == [("tr-1", "pass", "pass")]
    ledger.labels.record(label(id="a-ann", label="error", labelled_at_ms=8_000))
    assert labels_of(ledger) == [("tr-1", "pass", "pass")]


def test_labels_that_are_gone_from_mlflow_are_gone_here(ledger: Ledger) -> None:
    """What a person deleted there counts no more; what came with the stream, and other traces' labels, stay."""
    take_in(ledger, "tr-1", drawn=True)
    take_in(ledger, "tr-2", drawn=True)
    ledger.labels.align(["tr-1", "tr-2"], [label(id="a-1", label="fail"), label(id="a-2", trace_id="tr-2")])
    ledger.labels.record(label(id="a-3", origin="stream", labelled_at_ms=1_000))
    assert labels_of(ledger) == [("tr-1", "fail", "pass"), ("tr-2", "pass", "pass")]
    ledger.labels.align(["tr-1"], [])
    assert labels_of(ledger) == [("tr-1", "pass", "pass"), ("tr-2", "pass", "pass")]


def test_a_label_waits_for_its_trace_and_learns_then_that_it_was_drawn(ledger: Ledger) -> None:
    """Feedback may come first: nothing is compared with it until the trace is there and MLflow shows it."""
    early = label(origin="stream", state="waiting", assessments=[{"assessment_id": "a-label"}])
    ledger.labels.record(early)
    assert ledger.labels.traces_waiting(0, 10) == []
    take_in(ledger, "tr-1", drawn=True)
    assert labels_of(ledger) == []
    assert ledger.labels.traces_waiting(0, 10) == ["tr-1"]
    assert ledger.labels.traces_waiting(5_001, 10) == []
    [waiting] = ledger.labels.waiting_of("tr-1")
    assert waiting.assessments == [{"assessment_id": "a-label"}]
    ledger.labels.mark_published([waiting])
    assert ledger.labels.waiting_of("tr-1") == []
    assert labels_of(ledger) == [("tr-1", "pass", "pass")]
    assert ledger.labels.counts(1_000)[0].drawn


def test_a_label_that_changed_while_it_was_shown_waits_on(ledger: Ledger) -> None:
    """What MLflow was shown is the older word: the newer one is still due."""
    ledger.labels.record(label(origin="stream", state="waiting"))
    [shown] = ledger.labels.waiting_of("tr-1")
    ledger.labels.record(label(origin="stream", state="waiting", label="fail", labelled_at_ms=6_000))
    ledger.labels.mark_published([shown])
    assert [row.label for row in ledger.labels.waiting_of("tr-1")] == ["fail"]


def test_drawn_traces_come_page_by_page_in_the_order_of_their_time(ledger: Ledger) -> None:
    """Each trace once, equal times too; those before the stretch, and those not drawn, are left out."""
    times = {"tr-1": 10, "tr-2": 20, "tr-3": 20, "tr-4": 30, "tr-5": 40}
    for trace_id, at_ms in times.items():
        take_in(ledger, trace_id, drawn=trace_id != "tr-5", event_time_ms=at_ms)
    pages: list[list[str]] = []
    after: TraceTime | None = None
    while page := ledger.labels.drawn(20, after, 2):
        pages.append([each.trace_id for each in page])
        after = page[-1]
    assert pages == [["tr-2", "tr-3"], ["tr-4"]]
    assert ledger.labels.drawn_count(20) == 3
    assert [each.trace_id for each in ledger.labels.undrawn(20, None, 2)] == ["tr-5"]
    assert ledger.labels.undrawn(20, TraceTime(trace_id="tr-5", event_time_ms=40), 2) == []


def test_a_draw_is_no_verdict_that_is_owed(ledger: Ledger) -> None:
    """The accounting, and what is parked, know nothing of it."""
    take_in(ledger, "tr-1", drawn=True)
    assert ledger.intake.parked(10) == []
    assert ledger.intake.parked_counts() == {}
    assert [each.state for each in ledger.intake.decisions_of("tr-1")] == ["drawn", "scored"]


def test_tallies_tell_versions_apart_and_which_is_in_force(ledger: Ledger) -> None:
    """Counts and weights of each version's passes, fails and errors; the newest verdict names the version in force."""
    take_in(ledger, "tr-1", drawn=False, probability=0.5)
    take_in(ledger, "tr-2", drawn=False, probability=0.25)
    take_in(ledger, "tr-3", drawn=False, label="fail", value=0.0, scorer_version="ba9876543210", judged_at_ms=3_000)
    found = ledger.labels.tallies(0, ["safety", "other"])
    assert list(found) == ["safety"]
    by_version = {(each.scorer_version, each.label): each for each in found["safety"]}
    assert by_version["0123456789ab", "pass"] == VerdictTally(
        scorer="safety",
        scorer_version="0123456789ab",
        label="pass",
        count=2,
        weight=6.0,
        squares=20.0,
        newest_ms=2_000,
    )
    assert latest_version(found["safety"]) == "ba9876543210"
    assert ledger.labels.tallies(0, []) == {}


def frozen(number: int, **given: Any) -> FrozenRow:
    """A frozen pass."""
    row = FrozenRow(
        scorer="safety", scorer_version="1", trace_id=f"tr-{number}", human="pass", frozen="pass", frozen_at_ms=number
    )
    return replace(row, **given)


def test_a_frozen_set_grows_up_to_its_size_and_each_row_stays_as_it_was_frozen(ledger: Ledger) -> None:
    """The first rows stay; another version has a set of its own."""
    assert ledger.frozen.freeze([frozen(1), frozen(2), frozen(3)], most=2) == 2
    assert ledger.frozen.freeze([frozen(1, frozen="fail"), frozen(4)], most=3) == 1
    assert ledger.frozen.freeze([frozen(1, scorer_version="2")], most=2) == 1
    found = [(row.scorer_version, row.trace_id, row.frozen) for row in ledger.frozen.all()]
    assert found == [("1", "tr-1", "pass"), ("1", "tr-2", "pass"), ("1", "tr-4", "pass"), ("2", "tr-1", "pass")]


def test_what_the_judge_says_now_is_kept_beside_what_it_said(ledger: Ledger) -> None:
    """A row whose trace is gone is taken out."""
    ledger.frozen.freeze([frozen(1), frozen(2), frozen(3)], most=9)
    ledger.frozen.note_latest(frozen(1), "fail", 9_000)
    ledger.frozen.note_latest(frozen(2), "error", 9_000)
    ledger.frozen.drop([frozen(3)])
    assert [(row.frozen, row.latest, row.latest_at_ms) for row in ledger.frozen.all()] == [
        ("pass", "fail", 9_000),
        ("pass", "error", 9_000),
    ]


def test_a_replica_without_the_lease_writes_no_labels_and_no_frozen_rows(ledger: Ledger) -> None:
    """Its token is checked in the transaction that writes."""
    old = ledger.lease.acquire("leader", "one", 1.0, 0)
    assert ledger.lease.acquire("leader", "two", 60.0, 2_000) is not None
    with pytest.raises(LeaseLost):
        ledger.labels.align(["tr-1"], [label()], old)
    with pytest.raises(LeaseLost):
        ledger.frozen.freeze([frozen(1)], 9, old)
    with pytest.raises(LeaseLost):
        ledger.frozen.note_latest(frozen(1), "fail", 1, old)
    assert (ledger.labels.counts(0), ledger.frozen.all()) == ([], [])


def test_old_labels_and_the_frozen_sets_of_old_versions_are_forgotten(ledger: Ledger) -> None:
    """As long as verdicts are kept; a row that was judged again lately stays however old it is."""
    now_ms = 1_000 * DAY_MS
    old_ms = now_ms - 91 * DAY_MS
    ledger.labels.record(label(id="a-old", event_time_ms=old_ms, labelled_at_ms=old_ms))
    ledger.labels.record(label(id="a-late", event_time_ms=old_ms, labelled_at_ms=now_ms))
    ledger.frozen.freeze([frozen(1, frozen_at_ms=old_ms), frozen(2, frozen_at_ms=old_ms)], most=9)
    ledger.frozen.note_latest(frozen(2), "pass", now_ms)
    ledger.retention.prune(RetentionSettings(), now_ms)
    assert [each.passed for each in ledger.labels.counts(0)] == [1]
    assert [row.trace_id for row in ledger.frozen.all()] == ["tr-2"]
