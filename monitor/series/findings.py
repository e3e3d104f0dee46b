"""What the series say to the alert table: fallen, well, or unknown, which is never shown as well."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from monitor.alerts.alert import Finding
from monitor.alerts.settings import Severity
from monitor.ledger.errors import LedgerUnavailable
from monitor.ledger.rows import AlertRow, SeriesRow
from monitor.ledger.series import Series
from monitor.series.blindness import Blindness, Sight
from monitor.series.proof import LOOKED_AT, proof_of
from monitor.series.watched import ALL, Key, WatchedScorer, references_of_segments
from monitor.stats.series import SeriesState

REGRESSION: Final = "production_regression"
UNKNOWN: Final = "unknown"
_WORDS: Final = ("warning", "held_back")
PART_OF_ALL: Final = "told of with the regression of all, which it is a part of"

Warnings = Callable[[], Mapping[str, str]]
"""Scorer -> why its alerts are to be doubted, of those of which that can be said."""


def no_warnings() -> Mapping[str, str]:
    """Nothing to say of any scorer."""
    return {}


HeldBack = Callable[[Sequence[AlertRow], str], str | None]
"""The open alerts and a scorer's name -> why its regressions are not told, or None."""


def nothing_held_back(_open_rows: Sequence[AlertRow], _scorer: str) -> str | None:
    """Everything is told."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFindings:
    """Looks at every series. `warnings` say why alerts are to be doubted, `held_back` why none is told."""

    ledger: Series
    scorers: Mapping[str, WatchedScorer]
    severities: Mapping[str, Severity]
    sight: Sight
    warnings: Warnings = no_warnings
    held_back: HeldBack = nothing_held_back

    def look(self, rows: Iterable[SeriesRow], open_rows: Sequence[AlertRow]) -> list[Finding]:
        """One finding for each series that is watched, and one for each alert whose series has ended.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        current = {key: row for row in rows if self._is_current(row) for key in [(row.scorer, row.segment)]}
        opened = {(row.scorer, row.segment): row for row in open_rows if row.kind == REGRESSION}
        states = {key: SeriesState.of_json(row.state) for key, row in current.items()}
        gone = {key for key in current if is_gone(key, current, states, self.sight)}
        # Once a look, and only where something has fallen.
        warnings = cache(self.warnings)
        found = []
        for key in sorted(current.keys() - gone):
            reason = self.held_back(open_rows, key[0])
            if reason is None and not _is_told(opened.get(key)):
                reason = part_of(key, states)
            found.append(self._finding(key, states, opened.get(key), reason, warnings))
        ended = opened.keys() - (current.keys() - gone)
        return found + [self._ended(key, opened[key], retired=key not in gone) for key in sorted(ended)]

    def _is_current(self, row: SeriesRow) -> bool:
        scorer = self.scorers.get(row.scorer)
        return scorer is not None and scorer.alerting and scorer.version == row.scorer_version

    def _finding(
        self,
        key: Key,
        states: Mapping[Key, SeriesState],
        opened: AlertRow | None,
        held_back: str | None,
        warnings: Warnings,
    ) -> Finding:
        bad = states[key].phase == "regressed"
        words = {"warning": warnings().get(key[0]), "held_back": held_back} if bad else {}
        said = {name: text for name, text in words.items() if text is not None}
        return Finding(
            kind="production_regression",
            scorer=key[0],
            segment=key[1],
            # Receivers that know of it would take a fall of its severity for its end: they read the reason instead.
            severity=self.severities[key[0]] if held_back is None or _is_told(opened) else "none",
            bad=bad,
            details=self._details(key, states, opened, said) if bad else {},
        )

    def _details(
        self, key: Key, states: Mapping[Key, SeriesState], opened: AlertRow | None, said: Mapping[str, str]
    ) -> Mapping[str, Any]:
        state = states[key]
        alarm = state.alarm
        if alarm is None or state.reference is None:
            return said
        if opened is not None and opened.details.get("found_ms") == alarm.at_ms:
            # What was proved stands; the traces that came since tell nothing about how it began.
            return {**{name: each for name, each in opened.details.items() if name not in _WORDS}, **said}
        verdicts = self.ledger.since(key[0], key[1], alarm.onset_ms, LOOKED_AT)
        proof = proof_of(
            self.scorers[key[0]],
            state.reference,
            alarm,
            verdicts,
            lambda inputs: self._passed_before(key[0], inputs, alarm.onset_ms),
            own=_own_references(key, states),
        )
        return {**proof, **said}

    def _passed_before(self, scorer: str, inputs: Collection[str], before_ms: int) -> Mapping[str, str]:
        try:
            return self.ledger.passes_before(scorer, inputs, before_ms)
        except LedgerUnavailable:
            # A statement that takes too long, say: the page goes out without the good answers beside it.
            return {}

    def _ended(self, key: Key, opened: AlertRow, *, retired: bool) -> Finding:
        return Finding(
            kind="production_regression",
            scorer=key[0],
            segment=key[1],
            severity=self.severities.get(key[0], "none"),
            bad=False,
            details={**opened.details, "retired" if retired else "out_of_traffic": True},
        )


def is_gone(key: Key, rows: Mapping[Key, SeriesRow], states: Mapping[Key, SeriesState], sight: Sight) -> bool:
    """Whether a series is of a segment that nobody is served by any more, as a release that was rolled back.

    No verdict will ever say that it is well again, and its alert would outlast that of `all`, which is well.
    """
    overall = (key[0], ALL)
    if key == overall or overall not in rows or states[overall].phase == "regressed":
        return False
    return sight.is_out_of_traffic(rows[key], states[key], rows[overall])


def _is_told(row: AlertRow | None) -> bool:
    """Whether receivers know of it."""
    return row is not None and row.state == "firing" and row.severity != "none"


def _own_references(key: Key, states: Mapping[Key, SeriesState]) -> Mapping[str, float]:
    """Segment -> what its own series is held against, for the slices of `all`.

    The slices of a segment's series are what two values share, of which no series knows: `region=eu` as a whole says
    nothing of what it was for one customer.
    """
    if key[1] != ALL:
        return {}
    return references_of_segments(states, key[0])


def part_of(key: Key, states: Mapping[Key, SeriesState]) -> str | None:
    """Why a segment's fall is no page of its own: it had begun when that of `all` was found.

    What falls later is something else, however long the alert of `all` has been there.
    """
    overall = states.get((key[0], ALL))
    alarm, whole = states[key].alarm, None if overall is None else overall.alarm
    if key[1] == ALL or alarm is None or whole is None or alarm.onset_ms > whole.at_ms:
        return None
    return PART_OF_ALL


def unknown_findings(
    blind: Iterable[Blindness], severities: Mapping[str, Severity], open_rows: Sequence[AlertRow], hold_ms: int
) -> list[Finding]:
    """One finding for each series that must not be silent: bad where nothing can be said of it.

    An alert of a series that nobody watches any more ends.
    """
    found = [
        Finding(
            kind="unknown",
            scorer=each.scorer,
            segment=each.segment,
            severity=severities[each.scorer],
            bad=each.reason is not None,
            details={"reason": each.reason, "verdicts": each.verdicts, "last_verdict_ms": each.last_ms},
            hold_ms=hold_ms,
        )
        for each in blind
    ]
    watched = {(each.scorer, each.segment) for each in found}
    ended = [row for row in open_rows if row.kind == UNKNOWN and (row.scorer, row.segment) not in watched]
    return found + [
        Finding(
            kind="unknown",
            scorer=row.scorer,
            segment=row.segment,
            severity="none",
            bad=False,
            details={"retired": True},
        )
        for row in ended
    ]
