"""The page at a glance: each figure's tone is that of its worst part, and what is not known has none."""

from typing import Any

import pytest

from monitor.status_page.tiles import Tile, tiles_of
from monitor.status_page.view import (
    DebtView,
    DependencyView,
    JobView,
    JudgeView,
    PartitionView,
    PotView,
    ReplicaView,
)
from tests.status_pages import NOW_MS, page, series

PARTITION = PartitionView(topic="traces", partition=0, next_offset=9, received=9, lost=0, lag=4)
JOB = JobView(job="alerts", last_success_ms=NOW_MS, last_failure_ms=None, error=None, overdue=False)
REPLICA = ReplicaView(holder="a", version="1.2.3", started_ms=NOW_MS, seen_ms=NOW_MS)


def tile(label: str, **given: Any) -> Tile:
    """The tile of this label."""
    (found,) = [each for each in tiles_of(page(series(), **given)) if each.label == label]
    return found


def judge(circuit: Any) -> JudgeView:
    """An endpoint in this state."""
    return JudgeView(circuit=circuit, allowed=8, in_flight=1)


def pot(share: float) -> PotView:
    """A pot of which so much is gone."""
    return PotView(name="scoring", unit="calls", limit=100, spent=share * 100, share=share)


@pytest.mark.parametrize(
    ("label", "given", "value", "tone"),
    [
        ("Alerts firing", {}, "0", None),
        ("Candidates", {}, "–", None),  # noqa: RUF001 - the sign for 'none'
        ("Events received", {}, "0", "open"),
        ("Events received", {"partitions": (PARTITION,)}, "9", "good"),
        ("Judge", {}, "not asked yet", None),
        ("Judge", {"judge": judge("closed")}, "answers", "good"),
        ("Judge", {"judge": judge("half_open")}, "is tried again", "warn"),
        ("Judge", {"judge": judge("open")}, "is left alone", "bad"),
        (
            "Judge",
            {"judge": judge("closed"), "dependencies": (DependencyView(name="judge", up=False),)},
            "is away",
            "bad",
        ),
        ("Verdicts owed", {"debt": DebtView(events=0, verdicts=0, seconds=0.0, dollars=0.0)}, "0", None),
        ("Verdicts owed", {"debt": DebtView(events=0, verdicts=1_204, seconds=60.0, dollars=None)}, "1,204", "open"),
        ("Verdicts owed", {"debt": DebtView(events=0, verdicts=7, seconds=None, dollars=None)}, "7", "warn"),
        ("Spent today", {}, "–", None),  # noqa: RUF001
        ("Spent today", {"pots": (pot(0.1), pot(0.79))}, "79.0\u00a0%", "good"),
        ("Spent today", {"pots": (pot(0.8), pot(0.1))}, "80.0\u00a0%", "warn"),
        ("Spent today", {"pots": (pot(1.0),)}, "100.0\u00a0%", "bad"),
        ("Dataset rows", {}, "–", None),  # noqa: RUF001
        ("Replicas", {}, "0", "warn"),
        ("Replicas", {"replicas": (REPLICA,), "jobs": (JOB,)}, "1", "good"),
    ],
    ids=str,
)
def test_a_tile_has_its_figure_and_its_tone(label: str, given: dict[str, Any], value: str, tone: str | None) -> None:
    """Good is what is known to be good."""
    found = tile(label, **given)
    assert (found.value, found.tone) == (value, tone)
