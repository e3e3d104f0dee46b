"""What reads the group's figures from a ledger, for tests of a few of them."""

from typing import Any

from monitor.clock import ManualClock
from monitor.figures import FigureReader
from monitor.ledger.ledger import Ledger


def figure_reader(ledger: Ledger, now_ms: int, **given: Any) -> FigureReader:
    """A reader at that time, of nothing that the ledger does not hold; `given` replaces its other fields."""
    empty: dict[str, Any] = {
        "series": lambda _now_ms: (),
        "quality": lambda _now_ms: (),
        "targets": {},
        "dataset": None,
        "scorers": (),
        "pots": lambda: (),
        "deadline_s": lambda _job, _last_s: None,
    }
    return FigureReader(ledger=ledger, clock=ManualClock(now_ms), **(empty | given))
