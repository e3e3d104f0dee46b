"""What the ledger says of the whole group, as the metrics show it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from monitor.clock import Clock
from monitor.labels.quality import ScorerQuality
from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import ComparisonRow, JobRow, PositionRow, ReceiverState
from monitor.metrics import CandidateFigure, GroupFigures, JobFigure, JudgeFigure, PassRateFigure
from monitor.series.view import SeriesView
from monitor.spend.debt import debt_of
from monitor.spend.spending import Pot

_KINDS: Mapping[str, Literal["production", "candidate"]] = {
    "production_regression": "production",
    "candidate_regression": "candidate",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureReader:
    """Reads the group's figures.

    `series` gives every series as it is at a time in ms, `quality` what labels say of the scorers then; `deadline_s`
    tells by when a job that last succeeded then, or never, is overdue. `planned_jobs` have a deadline even if they are
    not in the ledger: one that hangs from its first run reports nothing.
    `candidates` are the configured ones: those of the past are told of no more.
    `pagers` are the receivers on whom pages about quality rest, `receivers` all that are told now.
    """

    ledger: Ledger
    clock: Clock
    series: Callable[[int], Iterable[SeriesView]]
    quality: Callable[[int], Iterable[ScorerQuality]]
    targets: Mapping[str, float]
    dataset: str | None
    scorers: Collection[str]
    pots: Callable[[], Iterable[Pot]]
    deadline_s: Callable[[str, float | None], float | None]
    planned_jobs: Collection[str] = ()
    receivers: Collection[str] = ()
    pagers: Collection[str] = ()
    candidates: Collection[str] = ()
    observes: bool = False

    def read(self) -> GroupFigures:
        """The figures of now.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        ledger = self.ledger
        accounted, positions = ledger.positions.accounted(), ledger.positions.all()
        off = {row.scorer: row.received - row.accounted for row in ledger.positions.mismatches()}
        series = list(self.series(self.clock.now_ms()))
        receivers = ledger.deliveries.states(self.receivers, self.clock.now_ms())
        firing = [alert for alert in ledger.alerts.open_alerts() if alert.state == "firing"]
        return GroupFigures(
            pass_rates=[
                PassRateFigure(
                    scorer=each.scorer,
                    segment=each.segment,
                    rate=each.rate,
                    verdicts=each.verdicts,
                    lower=each.lower,
                    upper=each.upper,
                )
                for each in series
                # A gauge has no time beside it: the last rate of what has been silent for days would pass for today's.
                if each.rate is not None and not each.is_past
            ],
            evidence={(each.scorer, each.segment): each.evidence for each in series if each.evidence is not None},
            detectable_drop={
                (each.scorer, each.segment): each.detectable_drop for each in series if each.detectable_drop is not None
            },
            targets=self.targets,
            firing=[(_KINDS[alert.kind], alert.scorer, alert.segment) for alert in firing if alert.kind in _KINDS],
            alerts=[(alert.kind, alert.scorer, alert.segment, alert.severity) for alert in firing],
            dataset_rows={self.dataset: ledger.members.count(self.dataset)} if self.dataset else {},
            candidates=list(_candidates(ledger.evaluations.comparisons(self.candidates))),
            jobs=self._jobs(ledger.jobs.all()),
            accounted={(row.scorer, row.outcome): row.count for row in accounted},
            debt=debt_of(ledger, self.scorers, self.clock.now_ms(), positions=positions, accounted=accounted),
            pots=list(self.pots()),
            judges=[_judge(each) for each in self.quality(self.clock.now_ms())],
            lost=_lost(positions),
            receivers=receivers,
            delivery_working=self._delivery_works(receivers),
            unaccounted={scorer: off.get(scorer, 0) for scorer in {row.scorer for row in accounted}},
        )

    def _delivery_works(self, receivers: Mapping[str, ReceiverState]) -> bool:
        # Without pagers it does not work: nobody tells. Under `observe` nobody is to tell, Prometheus's rules neither.
        return self.observes or (bool(self.pagers) and not any(receivers[name].failing for name in self.pagers))

    def _jobs(self, rows: Iterable[JobRow]) -> Mapping[str, JobFigure]:
        last_ms = {**dict.fromkeys(self.planned_jobs), **{row.job: row.last_success_ms for row in rows}}
        return {job: self._job(job, None if at_ms is None else at_ms / 1000) for job, at_ms in last_ms.items()}

    def _job(self, job: str, last_s: float | None) -> JobFigure:
        return JobFigure(last_success_s=last_s, deadline_s=self.deadline_s(job, last_s))


def _judge(quality: ScorerQuality) -> JudgeFigure:
    corrected = quality.corrected
    return JudgeFigure(
        scorer=quality.scorer,
        agreement=None if quality.agreement is None else quality.agreement.share,
        corrected=None if corrected is None else corrected.rate,
        lower=None if corrected is None else corrected.lower,
        upper=None if corrected is None else corrected.upper,
    )


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
