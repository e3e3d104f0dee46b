"""What is owed: verdicts that wait for the budget or the day's spend, and what it takes to catch up."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from monitor.ledger.ledger import Ledger
from monitor.spend.spending import DAY_MS, MICRO

PACE_MS: Final = 15 * 60_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Debt:
    """Verdicts that are owed, and how long and how much they take at the present pace and price.

    Attributes:
        verdicts: that wait, parked.
        seconds: until they are worked off at the pace of the last 15 minutes; None where nothing was judged.
        dollars: what they cost at today's price of a call; None where no call was priced today.
    """

    verdicts: int
    seconds: float | None
    dollars: float | None


def debt_of(ledger: Ledger, scorers: Collection[str], now_ms: int) -> Debt:
    """The debt of these scorers.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    owed = ledger.intake.parked_counts()
    verdicts = sum(count for scorer, count in owed.items() if scorer in scorers)
    if verdicts == 0:
        return Debt(verdicts=0, seconds=0.0, dollars=0.0)
    judged = ledger.figures.judged_since(now_ms - PACE_MS, scorers)
    today = next((row for row in ledger.spend.of_day(now_ms // DAY_MS) if row.purpose == "scoring"), None)
    priced = today is not None and today.calls > 0 and today.microdollars > 0
    return Debt(
        verdicts=verdicts,
        seconds=verdicts * PACE_MS / 1000 / judged if judged else None,
        dollars=verdicts * today.microdollars / today.calls / MICRO if today is not None and priced else None,
    )
