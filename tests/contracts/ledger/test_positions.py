"""Watermarks and the accounting."""

import pytest

from monitor.ledger import Accounted, Ledger, Mismatch, PositionRow
from tests.contracts.ledger.ledger_rows import decision, trace, verdict


def accounted(ledger: Ledger) -> dict[tuple[str, str], int]:
    """The accounting by scorer and outcome."""
    return {(row.scorer, row.outcome): row.count for row in ledger.positions.accounted()}


def test_a_partition_begins_once(ledger: Ledger) -> None:
    """Opening again leaves the watermark where it stands."""
    assert ledger.positions.read("traces", 0) is None
    assert ledger.positions.open("traces", 0, 10) == 10
    assert ledger.positions.open("traces", 0, 99) == 10
    assert ledger.positions.read("traces", 0) == 10
    assert ledger.positions.read("traces", 1) is None


def test_a_stale_owner_is_fenced_and_counts_nothing(ledger: Ledger) -> None:
    """Only the owner that names the offset where the watermark stands moves it, and outcomes count with that move."""
    ledger.positions.open("traces", 0, 0)
    counts = {("safety", "scored", "rate"): 2, ("safety", "sampled_out", "rate"): 3}
    assert ledger.positions.advance("traces", 0, 0, 5, counts, received=5)
    assert not ledger.positions.advance("traces", 0, 0, 5, counts, received=5)
    assert not ledger.positions.advance("traces", 1, 0, 5, counts, received=5)
    assert ledger.positions.accounted() == [
        Accounted(scorer="safety", outcome="sampled_out", count=3),
        Accounted(scorer="safety", outcome="scored", count=2),
    ]
    assert ledger.positions.received() == 5


def test_the_parked_become_scored_when_they_are_worked_off(ledger: Ledger) -> None:
    """An event that was counted as parked counts as scored from the moment its verdict is in the ledger."""
    ledger.positions.open("traces", 0, 0)
    for offset in range(3):
        ledger.intake.claim(trace(trace_id=f"tr-{offset}", offset=offset), [decision(state="parked")])
    # Worked off before the watermark passes, while it still counts as waiting.
    ledger.intake.record(verdict(trace_id="tr-0"))
    assert ledger.positions.accounted() == []
    ledger.positions.advance("traces", 0, 0, 2, {("safety", "parked", "budget"): 2}, received=2)
    assert accounted(ledger) == {("safety", "parked"): 1, ("safety", "scored"): 1}
    ledger.intake.record(verdict(trace_id="tr-1", label="error", value=None))
    assert accounted(ledger) == {("safety", "scored"): 2}
    assert ledger.positions.mismatches() == []


def test_lost_offsets_are_counted_beside(ledger: Ledger) -> None:
    """Offsets that retention deleted move the watermark, fenced like any step, and are not received."""
    ledger.positions.open("traces", 3, 10)
    assert ledger.positions.skip("traces", 3, 10, 60, lost=50)
    assert not ledger.positions.skip("traces", 3, 10, 60, lost=50)
    assert ledger.positions.all() == [PositionRow(topic="traces", partition=3, next_offset=60, received=0, lost=50)]
    ledger.positions.reset("traces", 3, 0)
    assert ledger.positions.read("traces", 3) == 0


def test_a_scorer_that_came_later_is_held_to_what_it_saw(ledger: Ledger) -> None:
    """The accounting must add up for each scorer since it was first counted; what does not is named."""
    ledger.positions.open("traces", 0, 0)
    ledger.positions.advance("traces", 0, 0, 3, {("safety", "scored", "rate"): 3}, received=3)
    both = {("safety", "duplicate", "position"): 2, ("greets", "duplicate", "position"): 2}
    ledger.positions.advance("traces", 0, 3, 5, both, received=2)
    assert ledger.positions.mismatches() == []
    ledger.positions.advance(
        "traces", 0, 5, 6, {("safety", "scored", "rate"): 1, ("greets", "scored", ""): 0}, received=1
    )
    assert ledger.positions.mismatches() == [Mismatch(scorer="greets", received=3, accounted=2)]


@pytest.mark.parametrize(("to", "count", "received"), [(5, 1, 1), (4, 1, 1), (6, -1, 1), (6, 1, -1)])
def test_a_step_that_is_none_is_refused(ledger: Ledger, to: int, count: int, received: int) -> None:
    """Offsets go forward and counts are never negative."""
    ledger.positions.open("traces", 0, 5)
    with pytest.raises(ValueError, match="no step forward"):
        ledger.positions.advance("traces", 0, 5, to, {("safety", "scored", ""): count}, received=received)
    with pytest.raises(ValueError, match="no step forward"):
        ledger.positions.skip("traces", 0, 5, 5)
    assert ledger.positions.read("traces", 0) == 5
    assert ledger.positions.accounted() == []


def test_dead_letters_are_told_by_scorer_and_reason_over_all_partitions(ledger: Ledger) -> None:
    """Other outcomes are left out."""
    assert ledger.positions.dead_letters() == {}
    for partition in (0, 1):
        ledger.positions.open("traces", partition, 0)
        counts = {
            ("safety", "dead_lettered", "not_json"): 2,
            ("safety", "dead_lettered", "too_deep"): 1,
            ("safety", "scored", "rate"): 4,
            ("short", "dead_lettered", "not_json"): 3,
        }
        ledger.positions.advance("traces", partition, 0, 7, counts, received=7)
    assert ledger.positions.dead_letters() == {"safety": {"not_json": 4, "too_deep": 2}, "short": {"not_json": 6}}
