"""What the ledger knows of everything at one look, as `status` and the status page show it."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from monitor.clock import Clock
from monitor.labels.standing import JudgeStanding
from monitor.ledger.ledger import Ledger
from monitor.ledger.migrate import ALIVE_FOR_MS
from monitor.ledger.rows import (
    Accounted,
    AlertRow,
    ComparisonRow,
    JobRow,
    Mismatch,
    PassRate,
    PositionRow,
    ReplicaRow,
)
from monitor.series.view import SeriesView
from monitor.spend.debt import Debt, debt_of
from monitor.spend.spending import Pot


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """What is known.

    Attributes:
        at_ms: when it was read.
        positions: of every partition.
        accounted: what became of the events, for each scorer.
        mismatches: scorers whose events do not add up.
        debt: what is owed.
        pots: of the day's spend, those that have a limit.
        pass_rates: of the window, by scorer and segment.
        series: those that have a test, as that sees them.
        judges: how each stands with people and with itself.
        open_alerts: pending and firing, the oldest first.
        dataset_rows: of the configured dataset; None where none is configured.
        jobs: how each last went.
        replicas: that run.
        comparisons: the latest of each candidate.
    """

    at_ms: int
    positions: Sequence[PositionRow]
    accounted: Sequence[Accounted]
    mismatches: Sequence[Mismatch]
    debt: Debt
    pots: Sequence[Pot]
    pass_rates: Sequence[PassRate]
    open_alerts: Sequence[AlertRow]
    dataset_rows: int | None
    jobs: Sequence[JobRow]
    replicas: Sequence[ReplicaRow]
    comparisons: Sequence[ComparisonRow]
    series: Sequence[SeriesView] = ()
    judges: Sequence[JudgeStanding] = ()


def _none(_now_ms: int) -> tuple[()]:
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OverviewReader:
    """Reads it.

    `window` is the stretch of event time behind the pass rates, `dataset` the configured one's name, `candidates` the
    versions that are compared now; `series` gives
    every series that has a test as it is at a time in ms, `judges` how each judge stands then.
    """

    ledger: Ledger
    clock: Clock
    window: timedelta
    dataset: str | None
    scorers: Collection[str]
    pots: Callable[[], Iterable[Pot]]
    candidates: Collection[str] = ()
    series: Callable[[int], Iterable[SeriesView]] = _none
    judges: Callable[[int], Iterable[JudgeStanding]] = _none

    def read(self) -> Overview:
        """What is known now.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        ledger, now_ms = self.ledger, self.clock.now_ms()
        positions, accounted = ledger.positions.all(), ledger.positions.accounted()
        return Overview(
            at_ms=now_ms,
            positions=positions,
            accounted=accounted,
            mismatches=ledger.positions.mismatches(),
            debt=debt_of(ledger, self.scorers, now_ms, positions=positions, accounted=accounted),
            pots=list(self.pots()),
            pass_rates=ledger.figures.pass_rates(now_ms - round(self.window.total_seconds() * 1000)),
            open_alerts=ledger.alerts.open_alerts(),
            dataset_rows=None if self.dataset is None else ledger.members.count(self.dataset),
            jobs=ledger.jobs.all(),
            replicas=ledger.replicas.seen_since(now_ms - ALIVE_FOR_MS),
            comparisons=ledger.evaluations.comparisons(self.candidates),
            series=list(self.series(now_ms)),
            judges=list(self.judges(now_ms)),
        )
