"""Claims, verdicts and what is owed."""

import pytest

from monitor.ledger import Ledger
from tests.contracts.ledger.ledger_rows import decision, trace, verdict


def test_the_first_event_of_a_trace_owns_it(ledger: Ledger) -> None:
    """A claim is new once, again for the very same event, and a duplicate for an event anywhere else."""
    first = ledger.intake.claim(trace(), [decision()])
    assert (first.outcome, first.scored, first.decisions) == ("new", frozenset(), (decision(),))
    assert ledger.intake.claim(trace(), [decision()]).outcome == "again"
    for elsewhere in (trace(offset=1), trace(partition=1), trace(topic="other")):
        claim = ledger.intake.claim(elsewhere, [decision("other")])
        assert (claim.outcome, claim.owner, claim.decisions) == ("duplicate", trace().position, (decision(),))
    assert ledger.intake.trace_of("tr-1") == trace()
    assert ledger.intake.trace_of("tr-2") is None


def test_decisions_stay_as_they_were_first_made(ledger: Ledger) -> None:
    """A redelivery reads the stored probability and reason; a subject that is new since gets its own decision."""
    ledger.intake.claim(trace(), [decision(), decision("dataset:production", state="member")])
    again = ledger.intake.claim(trace(), [decision(probability=1.0, reason="error"), decision("greets", kept=False)])
    assert again.decisions == (
        decision("dataset:production", state="member"),
        decision("greets", kept=False),
        decision(),
    )
    assert ledger.intake.decisions_of("tr-1") == list(again.decisions)


def test_many_claims_of_one_transaction_answer_in_the_order_given(ledger: Ledger) -> None:
    """Traces claimed together get each its own answer, and of one trace's two events the earlier owns it."""
    rows = [trace(trace_id="tr-2", offset=7), trace(offset=5), trace(trace_id="tr-2", offset=3)]
    outcomes = [claim.outcome for claim in ledger.intake.claim_all([(row, []) for row in rows])]
    assert outcomes == ["duplicate", "new", "new"]
    assert ledger.intake.claim_all([]) == []


def test_the_first_verdict_stands_and_settles_what_was_due(ledger: Ledger) -> None:
    """A second verdict of the same scorer on the same trace changes nothing, and a redelivery knows it is scored."""
    ledger.intake.claim(trace(), [decision(), decision("greets")])
    assert ledger.intake.record(verdict())
    assert not ledger.intake.record(verdict(label="fail", value=0.0))
    assert ledger.intake.verdicts_of("tr-1") == [verdict()]
    again = ledger.intake.claim(trace(), [])
    assert again.scored == {"safety"}
    assert [each.state for each in again.decisions] == ["due", "scored"]


def test_an_error_verdict_keeps_its_lack_of_a_value(ledger: Ledger) -> None:
    """None stays None: unscored is never zero."""
    row = verdict(label="error", value=None, error="timeout", rationale=None, feedback={"error": {"code": "X"}})
    ledger.intake.claim(trace(), [decision()])
    ledger.intake.record(row)
    assert ledger.intake.verdicts_of("tr-1") == [row]


def test_what_is_published_is_marked_and_the_rest_comes_oldest_first(ledger: Ledger) -> None:
    """Unpublished verdicts are found in the order of their judgement until they are marked."""
    for number, scorer in enumerate(["c", "b", "a"]):
        ledger.intake.record(verdict(scorer=scorer, judged_at_ms=number))
    assert [row.scorer for row in ledger.intake.unpublished(2)] == ["c", "b"]
    ledger.intake.mark_published("tr-1", ["c", "a"])
    assert [row.scorer for row in ledger.intake.unpublished(9)] == ["b"]
    assert [row.published for row in ledger.intake.verdicts_of("tr-1")] == [True, False, True]


def test_the_parked_are_worked_off_in_either_order(ledger: Ledger) -> None:
    """What is parked comes by its trace's time, of the scorers asked for, and leaves when it is scored."""
    for number in (1, 2, 3):
        row = trace(trace_id=f"tr-{number}", offset=number, event_time_ms=number)
        ledger.intake.claim(row, [decision(state="parked"), decision("greets")])
    ledger.intake.park("tr-2", ["greets", "unknown"])
    assert [(row.trace_id, row.scorer) for row in ledger.intake.parked(9)] == [
        ("tr-1", "safety"),
        ("tr-2", "greets"),
        ("tr-2", "safety"),
        ("tr-3", "safety"),
    ]
    newest = ledger.intake.parked(1, newest_first=True)[0]
    assert (newest.trace_id, newest.trace.offset, newest.decision) == ("tr-3", 3, decision(state="parked"))
    assert [row.trace_id for row in ledger.intake.parked(9, scorers=["greets"])] == ["tr-2"]
    assert ledger.intake.parked(9, scorers=[]) == []
    ledger.intake.record(verdict(trace_id="tr-3"))
    ledger.intake.park("tr-3", ["safety"])
    assert [row.trace_id for row in ledger.intake.parked(9, newest_first=True, scorers=["safety"])] == ["tr-2", "tr-1"]


@pytest.mark.parametrize("text", ["nul \x00", "surrogate \ud800", "smile 😀", "'; --", ""])
def test_any_text_of_a_stranger_can_be_stored(ledger: Ledger, text: str) -> None:
    """No character of an event or a judge's answer stops the pipeline; a redelivery still finds its row."""
    row = trace(source_id=text, name=text, session_id=text, segments={text: text})
    assert ledger.intake.claim(row, [decision()]).outcome == "new"
    assert ledger.intake.claim(row, [decision()]).outcome == "again"
    assert ledger.intake.record(verdict(rationale=text, error=text, feedback={text: [text]}))
    stored = ledger.intake.verdicts_of("tr-1")[0]
    assert stored.feedback == {text: [text]}
    assert (stored.rationale == text) == (text.isprintable())
