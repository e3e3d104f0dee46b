"""The alert table: what was found is held against it, and each alert lives its life."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from monitor.alerts.alert import Alert, Finding, graded, next_alert
from monitor.alerts.kinds import AlertKind, Severity
from monitor.ledger.alerts import Alerts
from monitor.ledger.rows import AlertRow, LeaseToken


class Finder(Protocol):
    """Looks at one side of things: the series, the candidates, the stream, the spend, the daemon's own work."""

    def look(self, open_rows: Sequence[AlertRow], now_ms: int) -> list[Finding]:
        """What there is to say now, also of what is well again.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        ...


class Alerting:
    """Moves the alert table by what the finders find. Only the lease holder calls `look`.

    `severity` says what alerts of a kind are worth where that is not the default.
    """

    def __init__(
        self,
        alerts: Alerts,
        finders: Iterable[Finder],
        log: FilteringBoundLogger,
        severity: Mapping[AlertKind, Severity] | None = None,
    ) -> None:
        self._severity = severity or {}
        self._alerts = alerts
        self._finders = tuple(finders)
        self._log = log

    def look(self, token: LeaseToken, now_ms: int) -> None:
        """Look once.

        Raises:
            LedgerUnavailable: the ledger does not answer.
            LeaseLost: another replica holds the lease; what it publishes stands.
        """
        open_rows = self._alerts.open_alerts()
        current = {(row.kind, row.scorer, row.segment): row for row in open_rows}
        found = [each for finder in self._finders for each in finder.look(open_rows, now_ms)]
        for finding in (graded(each, self._severity) for each in found):
            row = current.get(finding.subject)
            before = None if row is None else _alert(row)
            after = next_alert(before, finding, now_ms=now_ms)
            if after is not None and after != before:
                self._alerts.save(_row(after), token)
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
            **_figures(after),
        )


def _figures(alert: Alert) -> dict[str, object]:
    """Of the details what is no text of a trace or of a judge: numbers, and the daemon's own words."""
    return {
        name: value
        for name, value in alert.details.items()
        if isinstance(value, int | float) or name in {"reason", "first_version", "verdict", "unit", "run_id"}
    }


def _alert(row: AlertRow) -> Alert:
    return Alert(**{field.name: getattr(row, field.name) for field in fields(Alert)})


def _row(alert: Alert) -> AlertRow:
    return AlertRow(**{field.name: getattr(alert, field.name) for field in fields(AlertRow)})
