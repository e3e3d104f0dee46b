"""Blocks and series on each database: read, closed in one transaction, forgotten."""

from datetime import timedelta

import pytest

from monitor.ledger import LeaseLost, Ledger
from monitor.ledger.rows import ClockRow, SeriesRow
from monitor.ledger.series import ClosedBlock
from monitor.ledger.settings import RetentionSettings
from tests.contracts.ledger.ledger_rows import trace, verdict

ROW = SeriesRow(
    scorer="safety",
    segment="all",
    scorer_version="0123456789ab",
    first_block=0,
    last_block=0,
    state={"evidence": [0.1, 1e300, 5e-324], "phase": "watching"},
)


def block(ledger: Ledger, number: int = 0, **given: object) -> ClosedBlock:
    found = ledger.series.open_verdicts(10_000_000, 100)
    values: dict[str, object] = {
        "block": number,
        "closed_at_ms": number + 5,
        "verdicts": [(row.trace_id, row.scorer) for row in found],
        "series": [ROW],
        "retired": [],
        "clock": ClockRow(block=number + 60_000, live=2, shares=0.1),
    }
    return ClosedBlock(**{**values, **given})  # type: ignore[arg-type]


def test_open_verdicts_come_oldest_first_and_a_closed_one_no_more(ledger: Ledger) -> None:
    """What is closed has its block; what comes at the same time later is open."""
    for number, at_ms in enumerate([30_000, 10_000, 70_000]):
        ledger.intake.record(verdict(trace_id=f"tr-{number}", event_time_ms=at_ms))
    assert [row.trace_id for row in ledger.series.open_verdicts(60_000, 10)] == ["tr-1", "tr-0"]
    assert [row.trace_id for row in ledger.series.open_verdicts(60_000, 1)] == ["tr-1"]
    ledger.series.close(block(ledger, verdicts=[("tr-0", "safety"), ("tr-1", "safety")]), None)
    assert [row.trace_id for row in ledger.series.open_verdicts(99_000, 10)] == ["tr-2"]
    assert [row.block for row in ledger.intake.verdicts_of("tr-0")] == [0]


def test_a_block_writes_its_series_and_the_clock_bit_for_bit(ledger: Ledger) -> None:
    """A later one replaces them; those that end are gone."""
    assert (ledger.series.last_block(), ledger.series.clock(), ledger.series.all()) == (None, None, [])
    other = SeriesRow(
        scorer="safety", segment="v=1", scorer_version="0123456789ab", first_block=0, last_block=0, state={}
    )
    ledger.series.close(block(ledger, series=[ROW, other]), None)
    assert ledger.series.all() == [ROW, other]
    ledger.series.close(block(ledger, 60_000, retired=[("safety", "v=1")]), None)
    assert ledger.series.all() == [ROW]
    assert ledger.series.last_block() == 60_000
    assert ledger.series.clock() == ClockRow(block=120_000, live=2, shares=0.1)


def test_who_has_lost_the_lease_closes_nothing(ledger: Ledger) -> None:
    """Not the verdicts, not the series, not the clock."""
    ledger.intake.record(verdict())
    token = ledger.lease.acquire("leader", "old", 1.0, 0)
    ledger.lease.acquire("leader", "new", 1.0, 5_000)
    with pytest.raises(LeaseLost):
        ledger.series.close(block(ledger), token)
    assert (ledger.series.last_block(), ledger.series.clock(), ledger.series.all()) == (None, None, [])
    assert len(ledger.series.open_verdicts(60_000, 10)) == 1


def test_the_verdicts_of_a_series_since_a_time_and_the_good_answers_before(ledger: Ledger) -> None:
    """The newest first, of one segment, without errors; a pass to the same inputs is found by their digest."""
    for number, (label, version) in enumerate([("pass", "v1"), ("fail", "v1"), ("fail", "v2"), ("error", "v2")]):
        segments = {"app_version": version}
        ledger.intake.claim(trace(trace_id=f"tr-{number}", offset=number, inputs_digest="d", segments=segments), [])
        ledger.intake.record(
            verdict(
                trace_id=f"tr-{number}",
                label=label,
                event_time_ms=number * 1000,
                segments=segments,
                value=None if label == "error" else 0.0,
            )
        )
    assert ledger.series.since("safety", "all", 0, 10) == []
    ledger.series.close(block(ledger, 0, verdicts=[("tr-0", "safety")]), None)
    ledger.series.close(block(ledger, 1_000), None)
    found = ledger.series.since("safety", "all", 1_000, 10)
    assert [(row.trace_id, row.inputs_digest) for row in found] == [("tr-2", "d"), ("tr-1", "d")]
    assert [row.trace_id for row in ledger.series.since("safety", "app_version=v2", 0, 10)] == ["tr-2"]
    assert [row.trace_id for row in ledger.series.since("safety", "all", 0, 1)] == ["tr-2"]
    assert ledger.series.passes_before("safety", ["d", "x"], 1_000) == {"d": "tr-0"}
    assert ledger.series.passes_before("safety", ["d"], 0) == {}


def test_lag_is_noted_for_partitions_that_were_opened(ledger: Ledger) -> None:
    """It stands beside the position and changes nothing else."""
    ledger.positions.open("traces", 0, 5)
    ledger.positions.note_lag({("traces", 0): 7, ("traces", 1): 9}, 123)
    [row] = ledger.positions.all()
    assert (row.next_offset, row.lag, row.lag_seen_ms) == (5, 7, 123)


def test_old_blocks_are_forgotten_with_their_verdicts(ledger: Ledger) -> None:
    """Retention keeps them equally long."""
    ledger.series.close(block(ledger, 60_000), None)
    settings = RetentionSettings(verdicts=timedelta(days=2))
    now_ms = 60_000 + 2 * 86_400_000
    assert ledger.retention.prune(settings, now_ms).get("blocks", 0) == 0
    assert ledger.retention.prune(settings, now_ms + 1)["blocks"] == 1
