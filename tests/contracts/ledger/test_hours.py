"""Hours of series on each database: weighted as pass rates are, errors apart, bounded in number."""

import pytest

from monitor.ledger import Ledger, figures
from monitor.ledger.rows import HourRow
from tests.contracts.ledger.ledger_rows import verdict

HOUR_MS = 3_600_000
PLACES = (
    (5, "pass", 0.25, "v1"),
    (5, "fail", 1.0, "v1"),
    (5, "error", 1.0, "v2"),
    (6, "pass", 1.0, "v2"),
    (7, "fail", 1.0, "v1"),
)


@pytest.fixture
def judged(ledger: Ledger) -> Ledger:
    """Verdicts of the hours 5, 6 and 7, and one of weight 0."""
    for number, (hour, label, probability, version) in enumerate((*PLACES, (5, "pass", 0.0, "v1"))):
        name = f"tr-{number}"
        at_ms = hour * HOUR_MS + number
        ledger.intake.record(
            verdict(
                trace_id=name,
                assessment_id=name,
                label=label,
                probability=probability,
                segments={"app_version": version},
                event_time_ms=at_ms,
            )
        )
    return ledger


def row(segment: str, hour: int, *, verdicts: int, errors: int = 0, weight: float, passed: float) -> HourRow:
    """A row of the scorer `safety`."""
    return HourRow(
        scorer="safety", segment=segment, hour=hour, verdicts=verdicts, errors=errors, weight=weight, passed=passed
    )


def test_each_hour_of_each_series_is_summed(judged: Ledger) -> None:
    """The end is not one of the hours; an hour without an answer has no rate."""
    found = judged.figures.by_hour(5, 7)
    assert found == [
        row("all", 5, verdicts=2, errors=1, weight=5.0, passed=4.0),
        row("all", 6, verdicts=1, weight=1.0, passed=1.0),
        row("app_version=v1", 5, verdicts=2, weight=5.0, passed=4.0),
        row("app_version=v2", 5, verdicts=0, errors=1, weight=0.0, passed=0.0),
        row("app_version=v2", 6, verdicts=1, weight=1.0, passed=1.0),
    ]
    assert [each.rate for each in found] == [0.8, 1.0, 0.8, None, 1.0]


def test_the_hours_add_up_to_the_pass_rate_of_their_time(judged: Ledger) -> None:
    """A sparkline and the number beside it never tell two stories."""
    (rate,) = [each for each in judged.figures.pass_rates(5 * HOUR_MS) if each.segment == "all"]
    hours = [each for each in judged.figures.by_hour(5, 8) if each.segment == "all"]
    assert sum(each.passed for each in hours) / sum(each.weight for each in hours) == pytest.approx(rate.rate)


def test_segments_without_bound_leave_the_whole(judged: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """More combinations than are read at once: `all` is exact, and the segments are not given in part."""
    monkeypatch.setattr(figures, "MOST_GROUPS", 3)
    found = judged.figures.by_hour(5, 8)
    assert [(each.segment, each.hour, each.verdicts) for each in found] == [("all", 5, 2), ("all", 6, 1), ("all", 7, 1)]
