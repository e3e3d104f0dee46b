"""What the ledger's counts say about the stream itself: accounting that does not add up, losses, dead letters.

None of it is about a scorer's quality: the label `scorer` is empty but for the accounting, which is kept scorer by
scorer, and the segment is `all`.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from monitor.alerts.alert import Finding
from monitor.alerts.settings import AlertSettings
from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import AlertRow, Mismatch, PositionRow

ACCOUNTING: Final = "accounting_mismatch"
LOST: Final = "lost_to_retention"
LETTERS: Final = "dead_letters"
STREAM_KINDS: Final = frozenset({ACCOUNTING, LOST, LETTERS})
LOSS_STANDS_MS: Final = 24 * 3_600_000

_NOBODY = ""
_ALL = "all"


def accounting_findings(mismatches: Iterable[Mismatch], open_rows: Iterable[AlertRow]) -> list[Finding]:
    """One for each scorer whose counts do not add up, and one for each whose did not and now do.

    The counts are exact at every instant, and are read in one snapshot: the first look that sees a difference has
    found a defect.
    """
    off = {each.scorer: each for each in mismatches}
    before = {row.scorer: row for row in open_rows if row.kind == ACCOUNTING}
    return [
        Finding(
            kind=ACCOUNTING,
            scorer=scorer,
            segment=_ALL,
            severity="page",
            bad=scorer in off,
            details={"received": off[scorer].received, "accounted": off[scorer].accounted} if scorer in off else {},
        )
        for scorer in sorted(off.keys() | before.keys())
    ]


def loss_finding(positions: Iterable[PositionRow], last: AlertRow | None, now_ms: int) -> Finding:
    """Whether events were lost that nobody was told of, or within the last 24 hours.

    `last` is the newest alert of the kind, over or not: its details hold the total that it told of.
    """
    by_partition = {f"{row.topic}[{row.partition}]": row.lost for row in positions if row.lost}
    total = sum(by_partition.values())
    told, grown_ms, events = 0, now_ms, total
    if last is not None:
        told = int(last.details.get("lost", 0))
        events = total - told
        if last.state != "resolved":
            events += int(last.details.get("events", 0))
            grown_ms = now_ms if total > told else int(last.details.get("grown_ms", now_ms))
    stands = last is not None and last.state != "resolved" and now_ms - grown_ms < LOSS_STANDS_MS
    return Finding(
        kind=LOST,
        scorer=_NOBODY,
        segment=_ALL,
        severity="page",
        bad=total > told or stands,
        details={"events": events, "lost": total, "grown_ms": grown_ms, "by_partition": by_partition},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The group's totals at one look: events received, and dead letters by scorer and reason."""

    at_ms: int
    received: int
    letters: Mapping[str, Mapping[str, int]]

    def as_json(self) -> dict[str, Any]:
        """For an alert's details."""
        letters = {scorer: dict(reasons) for scorer, reasons in self.letters.items()}
        return {"at_ms": self.at_ms, "received": self.received, "letters": letters}

    def since(self, before: "Count") -> tuple[int, Mapping[str, int]]:
        """Events received since `before`, and the dead letters among them by reason.

        Every scorer counts every letter since it was configured: the one that counted most counted all of them.
        """
        grown = [
            Counter({reason: count - before.letters.get(scorer, {}).get(reason, 0) for reason, count in found.items()})
            for scorer, found in self.letters.items()
        ]
        most = max(grown, key=Counter.total, default=Counter[str]())
        return self.received - before.received, {reason: count for reason, count in sorted(most.items()) if count > 0}


class LetterWindow:
    """The share of dead letters over the last while, from totals alone.

    The counts have no time, so that the time is that of the looks. It begins with the first look; while an alert is
    open its details hold where its window began, so that it goes on after a restart.
    """

    def __init__(self, window: timedelta, share: float) -> None:
        self._window_ms = round(window.total_seconds() * 1000)
        self._share = share
        self._counts: deque[Count] = deque()

    def finding(self, now: Count, open_row: AlertRow | None) -> Finding:
        """Bad at or above the share; good once a whole window had none of them, or too few."""
        if not self._counts and open_row is not None and "window_from" in open_row.details:
            self._counts.append(Count(**open_row.details["window_from"]))
        self._counts.append(now)
        self._forget(now.at_ms)
        first = self._counts[0]
        received, letters = now.since(first)
        number = sum(letters.values())
        share = number / max(received, number, 1)
        whole_window = now.at_ms - first.at_ms >= self._window_ms
        return Finding(
            kind=LETTERS,
            scorer=_NOBODY,
            segment=_ALL,
            severity="page",
            bad=share >= self._share if number or whole_window else None,
            details={
                "dead_letters": number,
                "received": received,
                "share": share,
                "by_reason": letters,
                "window_from": first.as_json(),
            },
        )

    def _forget(self, now_ms: int) -> None:
        # One count at the window's beginning or before it stays; one from long ago, when another held the lease, goes.
        while len(self._counts) > 1 and self._counts[1].at_ms <= now_ms - self._window_ms:
            self._counts.popleft()
        while self._counts[0].at_ms < now_ms - 2 * self._window_ms:
            self._counts.popleft()


class StreamFindings:
    """Looks at the ledger's counts; only the lease holder asks it."""

    def __init__(self, ledger: Ledger, settings: AlertSettings) -> None:
        self._ledger = ledger
        self._letters = LetterWindow(settings.dead_letter_window, settings.dead_letter_share)

    def look(self, open_rows: Sequence[AlertRow], now_ms: int) -> list[Finding]:
        """What there is to say now, also of what is well again.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        positions = self._ledger.positions
        rows = positions.all()
        last_loss = self._ledger.alerts.latest(LOST, _NOBODY, _ALL)
        letters = next((row for row in open_rows if row.kind == LETTERS), None)
        count = Count(at_ms=now_ms, received=sum(row.received for row in rows), letters=positions.dead_letters())
        return [
            *accounting_findings(positions.mismatches(), open_rows),
            loss_finding(rows, last_loss, now_ms),
            self._letters.finding(count, letters),
        ]
