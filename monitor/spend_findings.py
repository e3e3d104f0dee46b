"""What the day's spend means for the alert table."""

from collections.abc import Iterable
from typing import Final

from monitor.alerts.alert import Finding
from monitor.spending import WARN_AT, Pot

SPEND: Final = "spend_exhausted"


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
