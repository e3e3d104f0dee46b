"""What the ledger's figures mean for the alert table: findings, and the life of each alert."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

from structlog.typing import FilteringBoundLogger

from monitor.alerts.alert import Alert, Finding, graded, next_alert
from monitor.alerts.settings import AlertSettings, Severity
from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import AlertRow, ComparisonRow, LeaseToken, PassRate
from monitor.spend_findings import SPEND, spend_findings
from monitor.spending import Pot
from monitor.stream_findings import STREAM_KINDS, StreamFindings

_EXAMPLES = 3
_OF_NO_SCORER = STREAM_KINDS | {SPEND}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the configuration asks of a scorer."""

    scorer: str
    target: float | None
    severity: Severity
    shadow: bool

    def watches(self, kind: str, scorer: str) -> bool:
        """Whether alerts of this kind and scorer can come of it."""
        return (
            scorer == self.scorer and not self.shadow and (kind != "production_regression" or self.target is not None)
        )


def production_findings(rates: Iterable[PassRate], watched: Sequence[Watched], min_verdicts: int) -> list[Finding]:
    """One finding for each series of a scorer with a target: bad below it, unknown with too few verdicts."""
    by_scorer = {each.scorer: each for each in watched if not each.shadow}
    findings = []
    for rate in rates:
        scorer = by_scorer.get(rate.scorer)
        if scorer is None or scorer.target is None:
            continue
        findings.append(
            Finding(
                kind="production_regression",
                scorer=rate.scorer,
                segment=rate.segment,
                severity=scorer.severity,
                bad=rate.rate < scorer.target if rate.verdicts >= min_verdicts else None,
                details={"pass_rate": rate.rate, "target": scorer.target, "verdicts": rate.verdicts},
            )
        )
    return findings


def candidate_findings(comparisons: Iterable[ComparisonRow], watched: Sequence[Watched]) -> list[Finding]:
    """One finding for each scorer of each candidate's latest comparison: bad where the verdict is `regressed`."""
    by_scorer = {each.scorer: each for each in watched if not each.shadow}
    return [
        _candidate_finding(row, metric, by_scorer[metric["scorer"]])
        for row in comparisons
        for metric in row.comparison["metrics"]
        if metric["scorer"] in by_scorer
    ]


def _candidate_finding(row: ComparisonRow, metric: Mapping[str, Any], watched: Watched) -> Finding:
    turned = [each for each in row.comparison["pass_to_fail"] if each["scorer"] == metric["scorer"]]
    shown = ("baseline", "candidate", "difference", "p_adjusted", "n_paired", "verdict")
    return Finding(
        kind="candidate_regression",
        scorer=metric["scorer"],
        segment=f"version={row.candidate}",
        severity=watched.severity,
        bad=metric["verdict"] == "regressed",
        details={
            **{key: metric[key] for key in shown},
            "evaluation": row.evaluation_id,
            "run_id": row.comparison["candidate"]["run_id"],
            "pass_to_fail": [each["candidate"]["trace_id"] for each in turned[:_EXAMPLES]],
        },
    )


class Alerting:
    """Holds the figures against the targets and moves the alert table. Only the lease holder calls `look`."""

    def __init__(
        self,
        ledger: Ledger,
        watched: Sequence[Watched],
        settings: AlertSettings,
        log: FilteringBoundLogger,
        pots: Callable[[], Iterable[Pot]] = tuple,
    ) -> None:
        self._ledger = ledger
        self._pots = pots
        self._watched = tuple(watched)
        self._settings = settings
        self._log = log
        self._stream = StreamFindings(ledger, settings)

    def look(self, token: LeaseToken, now_ms: int) -> None:
        """Look once.

        Raises:
            LedgerUnavailable: the ledger does not answer.
            LeaseLost: another replica holds the lease; what it publishes stands.
        """
        since_ms = now_ms - _ms(min(self._settings.pass_rate_window, self._settings.max_age))
        rates = self._ledger.figures.pass_rates(since_ms)
        findings = production_findings(rates, self._watched, self._settings.min_verdicts)
        findings += candidate_findings(self._ledger.evaluations.comparisons(), self._watched)
        findings += spend_findings(self._pots())
        open_rows = self._ledger.alerts.open_alerts()
        findings += self._stream.look(open_rows, now_ms)
        current = {(row.kind, row.scorer, row.segment): row for row in open_rows}
        for finding in (graded(each, self._settings.severity) for each in findings):
            row = current.get(finding.subject)
            before = None if row is None else _alert(row)
            # A comparison is decided when it is made; a production rate has to stay bad for a while.
            hold_ms = _ms(self._settings.pass_rate_for) if finding.kind == "production_regression" else 0
            after = next_alert(before, finding, now_ms=now_ms, hold_ms=hold_ms)
            if after is not None and after != before:
                self._ledger.alerts.save(_row(after), token)
                self._report(before, after)
        self._resolve_unwatched(current.values(), token, now_ms)

    def _resolve_unwatched(self, open_rows: Iterable[AlertRow], token: LeaseToken, now_ms: int) -> None:
        """End alerts of scorers that the configuration no longer watches: no finding ever will."""
        for row in open_rows:
            if row.kind in _OF_NO_SCORER:
                continue
            if not any(each.watches(row.kind, row.scorer) for each in self._watched):
                before = _alert(row)
                after = replace(before, state="resolved", resolved_ms=now_ms)
                self._ledger.alerts.save(_row(after), token)
                self._report(before, after)

    def _report(self, before: Alert | None, after: Alert) -> None:
        if before is not None and before.state == after.state:
            return
        level = self._log.warning if after.state == "firing" else self._log.info
        level(
            f"alert {after.state}",
            alert=after.id,
            kind=after.kind,
            scorer=after.scorer,
            segment=after.segment,
            severity=after.severity,
            **after.details,
        )


def _ms(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


def _alert(row: AlertRow) -> Alert:
    return Alert(**{field.name: getattr(row, field.name) for field in fields(Alert)})


def _row(alert: Alert) -> AlertRow:
    return AlertRow(**{field.name: getattr(alert, field.name) for field in fields(AlertRow)})
