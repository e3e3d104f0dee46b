"""What the day's spend means for the alert table."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from monitor.alerts.alert import Finding
from monitor.ledger.rows import AlertRow
from monitor.spend.spending import WARN_AT, Pot

SPEND: Final = "spend_exhausted"


class SpendFindings:
    """Looks at the pots of the day."""

    def __init__(self, pots: Callable[[], Iterable[Pot]]) -> None:
        self._pots = pots

    def look(self, open_rows: Sequence[AlertRow], now_ms: int) -> list[Finding]:
        """One finding for each pot; see `spend_findings`.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        del open_rows, now_ms
        return spend_findings(self._pots())


def spend_findings(pots: Iterable[Pot]) -> list[Finding]:
    """One for each pot: a ticket from 80 % on, a page once it is empty and work is put off."""
    return [
        Finding(
            kind=SPEND,
            scorer="",
            segment=f"pot={pot.name}",
            severity="page" if pot.share >= 1 else "ticket",
            bad=pot.share >= WARN_AT,
            details={"spent": pot.spent, "limit": pot.limit, "unit": pot.unit, "share": pot.share},
        )
        for pot in pots
    ]
