"""What is owed: verdicts that wait, parked or in the stream, and what it takes to catch up."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from monitor.ledger.ledger import Ledger
from monitor.ledger.positions import known_lag
from monitor.ledger.rows import Accounted, PositionRow
from monitor.spend.spending import DAY_MS, MICRO

PACE_MS: Final = 15 * 60_000

_GIVES_A_VERDICT: Final = frozenset({"scored", "parked"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Debt:
    """Verdicts that are owed, and how long and how much they take at the present pace and price.

    Attributes:
        events: that wait in the stream; None where nobody has looked lately.
        parked: verdicts that wait for the budget or the day's spend.
        verdicts: the parked ones, and those that the waiting events will ask for if they are like the events before.
        calls: of a judge that they take; None where none was made today.
        seconds: until they are worked off at the pace of the last 15 minutes; None where nothing was judged.
        dollars: what they cost at today's price of a call; None where no call was priced today.
    """

    events: int | None
    parked: int
    verdicts: int
    calls: int | None
    seconds: float | None
    dollars: float | None


def debt_of(
    ledger: Ledger,
    scorers: Collection[str],
    now_ms: int,
    *,
    positions: Sequence[PositionRow],
    accounted: Iterable[Accounted],
) -> Debt:
    """The debt of these scorers.

    Args:
        ledger: that knows what is parked, judged and spent.
        scorers: those that are configured.
        now_ms: the time.
        positions: of every partition, with its lag.
        accounted: what became of the events before.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    events = known_lag(positions, now_ms)
    owed = ledger.intake.parked_counts()
    parked = sum(count for scorer, count in owed.items() if scorer in scorers)
    # Where nobody looks, a stream that was behind has not caught up.
    waiting = sum(row.lag or 0 for row in positions) if events is None else events
    expected = waiting * _verdicts_an_event(accounted, scorers)
    verdicts = round(parked + expected)
    if verdicts == 0:
        return Debt(events=events, parked=0, verdicts=0, calls=0, seconds=0.0, dollars=0.0)
    judged = ledger.figures.judged_since(now_ms - PACE_MS, scorers)
    calls, dollars = _price(ledger, scorers, now_ms, parked, expected)
    return Debt(
        events=events,
        parked=parked,
        verdicts=verdicts,
        calls=calls,
        seconds=verdicts * PACE_MS / 1000 / judged if judged else None,
        dollars=dollars,
    )


def _verdicts_an_event(accounted: Iterable[Accounted], scorers: Collection[str]) -> float:
    """How many verdicts an event has asked for so far: sampling, duplicates and invalid events ask for none."""
    events: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    for row in accounted:
        events[row.scorer] += row.count
        verdicts[row.scorer] += row.count if row.outcome in _GIVES_A_VERDICT else 0
    # A scorer that has seen no event yet may be asked about each: what is not known is no reason for a debt of 0.
    return sum(verdicts[scorer] / events[scorer] if events[scorer] else 1.0 for scorer in scorers)


def _price(
    ledger: Ledger, scorers: Collection[str], now_ms: int, parked: int, expected: float
) -> tuple[int | None, float | None]:
    """The calls and dollars that so many verdicts take: each parked one a call, of the others as many as today."""
    day = now_ms // DAY_MS
    today = next((row for row in ledger.spend.of_day(day) if row.purpose == "scoring"), None)
    if today is None or today.calls <= 0:
        return None, None
    # Only judges' verdicts are parked; what is expected has those of code scorers among it.
    judged = ledger.figures.judged_since(day * DAY_MS, scorers) if expected else 0
    calls = parked + (expected * today.calls / judged if judged else expected)
    dollars = calls * today.microdollars / today.calls / MICRO if today.microdollars > 0 else None
    return round(calls), dollars
