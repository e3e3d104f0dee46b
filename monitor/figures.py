"""What the ledger says of the whole group, as the metrics show it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from monitor.clock import Clock
from monitor.debt import debt_of
from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import ComparisonRow, JobRow, PositionRow
from monitor.metrics import CandidateFigure, GroupFigures, JobFigure, PassRateFigure
from monitor.spending import Pot

_KINDS: Mapping[str, Literal["production", "candidate"]] = {
    "production_regression": "production",
    "candidate_regression": "candidate",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureReader:
    """Reads the group's figures. `deadline_s` tells by when a job that last succeeded then is overdue."""

    ledger: Ledger
    clock: Clock
    window: timedelta
    targets: Mapping[str, float]
    dataset: str | None
    scorers: Collection[str]
    pots: Callable[[], Iterable[Pot]]
    deadline_s: Callable[[str, float | None], float | None]

    def read(self) -> GroupFigures:
        """The figures of now.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        ledger = self.ledger
        accounted = {(row.scorer, row.outcome): row.count for row in ledger.positions.accounted()}
        off = {row.scorer: row.received - row.accounted for row in ledger.positions.mismatches()}
        firing = [alert for alert in ledger.alerts.open_alerts() if alert.state == "firing"]
        since_ms = self.clock.now_ms() - round(self.window.total_seconds() * 1000)
        return GroupFigures(
            pass_rates=[
                PassRateFigure(
                    scorer=rate.scorer,
                    segment=rate.segment,
                    rate=rate.rate,
                    verdicts=rate.verdicts,
                    lower=rate.lower,
                    upper=rate.upper,
                )
                for rate in ledger.figures.pass_rates(since_ms)
            ],
            targets=self.targets,
            firing=[(_KINDS[alert.kind], alert.scorer, alert.segment) for alert in firing if alert.kind in _KINDS],
            alerts=[(alert.kind, alert.scorer, alert.segment, alert.severity) for alert in firing],
            dataset_rows={self.dataset: ledger.members.count(self.dataset)} if self.dataset else {},
            candidates=list(_candidates(ledger.evaluations.comparisons())),
            jobs={row.job: self._job(row) for row in ledger.jobs.all()},
            accounted=accounted,
            debt=debt_of(ledger, self.scorers, self.clock.now_ms()),
            pots=list(self.pots()),
            lost=_lost(ledger.positions.all()),
            unaccounted={scorer: off.get(scorer, 0) for scorer, _ in accounted},
        )

    def _job(self, row: JobRow) -> JobFigure:
        last_s = None if row.last_success_ms is None else row.last_success_ms / 1000
        return JobFigure(last_success_s=last_s, deadline_s=self.deadline_s(row.job, last_s))


def _lost(positions: Iterable[PositionRow]) -> Mapping[str, int]:
    lost: Counter[str] = Counter()
    for row in positions:
        lost[row.topic] += row.lost
    return lost


def _candidates(comparisons: Iterable[ComparisonRow]) -> Iterable[CandidateFigure]:
    shown: set[tuple[str, str]] = set()
    for row in sorted(comparisons, key=lambda row: row.finished_at_ms, reverse=True):
        for metric in row.comparison["metrics"]:
            for figure in _both(row, metric):
                if (figure.version, figure.scorer) not in shown:
                    shown.add((figure.version, figure.scorer))
                    yield figure


def _both(row: ComparisonRow, metric: Mapping[str, Any]) -> tuple[CandidateFigure, CandidateFigure]:
    baseline = row.comparison["baseline"]["version"]
    return (
        CandidateFigure(
            version=row.candidate,
            scorer=metric["scorer"],
            pass_rate=metric["candidate"],
            difference=metric["difference"],
            lower=metric["ci_low"],
            upper=metric["ci_high"],
        ),
        CandidateFigure(version=baseline, scorer=metric["scorer"], pass_rate=metric["baseline"]),
    )
