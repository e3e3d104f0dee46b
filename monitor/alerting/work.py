"""The daemon's own work, for the alert table: failing scorers, lag, a stale dataset, a late evaluation."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from monitor.alerts.alert import EXAMPLES, RATIONALE_CHARS, Finding
from monitor.alerts.kinds import AlertKind
from monitor.alerts.settings import AlertSettings, Severity
from monitor.ledger.ledger import Ledger
from monitor.ledger.positions import known_lag
from monitor.ledger.rows import AlertRow, PositionRow, VerdictCount

FAILING: Final = "scorer_failing"
_HOUR_MS: Final = 3_600_000
_LAG_HOLD_MS: Final = 10 * 60_000
_ALL: Final = "all"


class WorkFindings:
    """Looks at what scorers answer, how far the stream is ahead, and how old the dataset and the evaluation are.

    `deadline_s` tells by when the evaluation must have succeeded, given its last success, both in seconds since the
    epoch.
    """

    def __init__(
        self,
        ledger: Ledger,
        severities: Mapping[str, Severity],
        settings: AlertSettings,
        dataset: str | None,
        deadline_s: Callable[[str, float | None], float | None],
    ) -> None:
        self._ledger = ledger
        self._severities = severities
        self._settings = settings
        self._dataset = dataset
        self._deadline_s = deadline_s

    def look(self, open_rows: Sequence[AlertRow], now_ms: int) -> list[Finding]:
        """What there is to say now, also of what is well again.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        counts = self._ledger.figures.verdict_counts(now_ms - _HOUR_MS)
        found = [
            self._with_examples(each, open_rows, now_ms)
            for each in failing_findings(counts, self._severities, self._settings, open_rows)
        ]
        found.append(lag_finding(self._ledger.positions.all(), self._settings.consumer_lag, now_ms))
        if self._dataset is not None:
            newest_ms = self._ledger.members.newest_ms(self._dataset)
            found.append(stale_finding(self._dataset, newest_ms, self._settings.dataset_stale_after, now_ms))
        return [*found, self._overdue(now_ms)]

    def _with_examples(self, failing: Finding, open_rows: Sequence[AlertRow], now_ms: int) -> Finding:
        """The finding with the newest traces on which the scorer failed; those of an open alert stand."""
        if not failing.bad:
            return failing
        opened = [row.details for row in open_rows if row.kind == FAILING and row.scorer == failing.scorer]
        examples = next((each["examples"] for each in opened if each.get("examples")), None) or [
            {"trace_id": trace_id, "rationale": (error or "")[:RATIONALE_CHARS]}
            for trace_id, error in self._ledger.figures.latest_errors(failing.scorer, now_ms - _HOUR_MS, EXAMPLES)
        ]
        return replace(failing, details={**failing.details, "examples": examples})

    def _overdue(self, now_ms: int) -> Finding:
        last = next((row.last_success_ms for row in self._ledger.jobs.all() if row.job == "evaluation"), None)
        deadline_s = self._deadline_s("evaluation", None if last is None else last / 1000)
        return _finding(
            "evaluation_overdue",
            bad=deadline_s is not None and now_ms / 1000 > deadline_s,
            last_success_ms=last,
            due_s=deadline_s,
        )


def failing_findings(
    counts: Iterable[VerdictCount],
    severities: Mapping[str, Severity],
    settings: AlertSettings,
    open_rows: Iterable[AlertRow],
) -> list[Finding]:
    """One finding for each scorer with verdicts: bad where too many of them are errors.

    A scorer without verdicts is another alert's business: it is unknown. So an open alert of it ends.
    """
    errors: dict[str, int] = {}
    verdicts: dict[str, int] = {}
    for each in counts:
        if each.segment == _ALL and each.scorer in severities:
            verdicts[each.scorer] = verdicts.get(each.scorer, 0) + each.count
            errors[each.scorer] = errors.get(each.scorer, 0) + each.count * (each.label == "error")
    silent = {row.scorer for row in open_rows if row.kind == FAILING} - verdicts.keys()
    found = [
        _finding(
            "scorer_failing",
            scorer=scorer,
            severity=severities[scorer],
            bad=errors[scorer] >= settings.failing_share * total if total >= settings.min_verdicts else None,
            errors=errors[scorer],
            verdicts=total,
        )
        for scorer, total in sorted(verdicts.items())
    ]
    return found + [_finding("scorer_failing", scorer=scorer, bad=False) for scorer in sorted(silent)]


def lag_finding(positions: Iterable[PositionRow], most: int, now_ms: int) -> Finding:
    """Whether the stream is ahead by more events than `most`; what nobody has looked at lately is not known."""
    lag = known_lag(positions, now_ms)
    bad = None if lag is None else lag > most
    return _finding("consumer_lag", bad=bad, hold_ms=_LAG_HOLD_MS, events=lag or 0, most=most)


def stale_finding(dataset: str, newest_ms: int | None, after: timedelta, now_ms: int) -> Finding:
    """Whether nothing new has come into the dataset for so long that it no longer is what production asks.

    An empty one is not stale: nothing has been kept yet.
    """
    after_ms = after // timedelta(milliseconds=1)
    bad = None if newest_ms is None else now_ms - newest_ms > after_ms
    return _finding("dataset_stale", segment=f"dataset={dataset}", bad=bad, newest_ms=newest_ms)


def _finding(
    kind: AlertKind,
    *,
    bad: bool | None,
    scorer: str = "",
    segment: str = _ALL,
    hold_ms: int = 0,
    severity: Severity = "page",
    **details: float | None,
) -> Finding:
    return Finding(
        kind=kind, scorer=scorer, segment=segment, severity=severity, bad=bad, details=details, hold_ms=hold_ms
    )
