"""The series as the alert table's finder sees them: those that have fallen, and those that nothing can be said of."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from monitor.alerts.alert import Finding
from monitor.alerts.settings import AlertSettings, Severity
from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import AlertRow
from monitor.series.blindness import Sight, blindness
from monitor.series.findings import HeldBack, SeriesFindings, Warnings, no_warnings, nothing_held_back, unknown_findings
from monitor.series.stream import StreamWatch
from monitor.series.units import in_ms
from monitor.series.watched import WatchedScorer
from monitor.stats.settings import StatisticsSettings


class SeriesFinder:
    """Looks at every series."""

    def __init__(
        self,
        ledger: Ledger,
        scorers: Iterable[WatchedScorer],
        *,
        severities: Mapping[str, Severity],
        settings: StatisticsSettings,
        sight: Sight,
        alerts: AlertSettings,
        warnings: Warnings = no_warnings,
        held_back: HeldBack = nothing_held_back,
    ) -> None:
        self._ledger = ledger
        self._scorers = {each.name: each for each in scorers}
        self._severities = severities
        self._settings = settings
        self._sight = sight
        self._alerts = alerts
        self._stream = StreamWatch(ledger, in_ms(alerts.unknown_after))
        self._findings = SeriesFindings(
            ledger=ledger.series,
            scorers=self._scorers,
            severities=severities,
            sight=sight,
            warnings=warnings,
            held_back=held_back,
        )

    def look(self, open_rows: Sequence[AlertRow], now_ms: int) -> list[Finding]:
        """What there is to say of the series now.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        rows = self._ledger.series.all()
        blind = blindness(
            rows,
            self._scorers,
            self._sight,
            expected=self._settings.expected,
            stream=self._stream.look(now_ms),
            now_ms=now_ms,
        )
        hold_ms = in_ms(min(self._alerts.unknown_after, timedelta(hours=1)))
        return [
            *self._findings.look(rows, open_rows),
            *unknown_findings(blind, self._severities, open_rows, hold_ms),
        ]
