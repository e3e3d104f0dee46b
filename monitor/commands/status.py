"""What the daemon knows, as tables, read from the ledger alone."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from monitor.clock import Clock
from monitor.config import Config
from monitor.evaluation.table import comparison_table
from monitor.ledger import Accounted, AlertRow, JobRow, Ledger, PassRate, PositionRow, ReplicaRow
from monitor.overview import Overview, OverviewReader
from monitor.spending import Spending

_ALERTS_SHOWN = 10


def status_tables(config: Config, ledger: Ledger, clock: Clock) -> Iterator[RenderableType]:
    """One table for each thing that is known; a line where there is nothing yet.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    known = _reader(config, ledger, clock).read()
    yield _positions(known.positions)
    yield _accounting(known.accounted)
    yield _debt(known)
    yield _spend(known)
    yield _pass_rates(config, known.pass_rates)
    yield _alerts(ledger.alerts.history(_ALERTS_SHOWN))
    if config.dataset is not None:
        name, most = config.dataset.name, config.dataset.max_rows
        yield Text(f"Dataset {name}: {known.dataset_rows} rows of at most {most}\n")
    yield _jobs(known.jobs)
    yield _replicas(known.replicas)
    if not known.comparisons:
        yield Text("Comparisons: none yet", style="dim")
    for row in known.comparisons:
        yield Text(f"Comparison of {row.candidate}, {_time(row.finished_at_ms)}")
        yield comparison_table(row.comparison)


def _reader(config: Config, ledger: Ledger, clock: Clock) -> OverviewReader:
    spending = Spending(ledger.spend, config.spend, {}, clock, attempts=1, evaluates=config.evaluates)
    return OverviewReader(
        ledger=ledger,
        clock=clock,
        window=config.statistics.window,
        dataset=None if config.dataset is None else config.dataset.name,
        scorers=frozenset(scorer.name for scorer in config.scorers),
        pots=spending.pots,
    )


def _positions(positions: Iterable[PositionRow]) -> RenderableType:
    rows = [
        (each.topic, str(each.partition), f"{each.next_offset:,}", f"{each.received:,}", f"{each.lost:,}")
        for each in positions
    ]
    return _table("Positions", ("topic", "partition", "next offset", "received", "lost to retention"), rows)


def _debt(known: Overview) -> RenderableType:
    debt = known.debt
    if debt.verdicts == 0:
        return Text("Owed verdicts: none\n", style="dim")
    pace = "no pace: nothing was judged in 15 minutes" if debt.seconds is None else f"{debt.seconds / 60:,.0f} minutes"
    price = "" if debt.dollars is None else f", ${debt.dollars:,.2f}"
    return Text(f"Owed verdicts: {debt.verdicts:,}, parked; to catch up: {pace}{price}\n")


def _spend(known: Overview) -> RenderableType:
    rows = [(pot.name, f"{pot.spent:,.2f}", f"{pot.limit:,.2f}", pot.unit, f"{pot.share:.0%}") for pot in known.pots]
    return _table("Spend today (UTC)", ("pot", "spent", "limit", "unit", "share"), rows)


def _accounting(accounted: Iterable[Accounted]) -> RenderableType:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for each in accounted:
        counts[each.scorer][each.outcome] = each.count
    outcomes = sorted({outcome for row in counts.values() for outcome in row})
    rows = [
        (scorer, *(f"{row.get(outcome, 0):,}" for outcome in outcomes), f"{sum(row.values()):,}")
        for scorer, row in sorted(counts.items())
    ]
    return _table("Events accounted for", ("scorer", *(each.replace("_", " ") for each in outcomes), "sum"), rows)


def _pass_rates(config: Config, rates: Iterable[PassRate]) -> RenderableType:
    targets = {scorer.name: scorer.target for scorer in config.scorers}
    window = config.statistics.window
    rows = []
    for each in rates:
        target = targets.get(each.scorer)
        below = target is not None and each.rate < target
        rate = f"{each.rate:.3f}{' (below)' if below else ''}"
        rows.append((each.scorer, each.segment, rate, "" if target is None else f"{target:.3f}", f"{each.verdicts:,}"))
    return _table(
        f"Pass rates of the last {window / timedelta(hours=1):g} h",
        ("scorer", "segment", "pass rate", "target", "verdicts"),
        rows,
    )


def _alerts(history: Iterable[AlertRow]) -> RenderableType:
    rows = [
        (each.state, each.kind.removesuffix("_regression"), each.scorer, each.segment, _time(each.since_ms)[:-3])
        for each in history
    ]
    return _table("Alerts", ("state", "regression", "scorer", "segment", "since (UTC)"), rows)


def _jobs(jobs: Iterable[JobRow]) -> RenderableType:
    rows = [
        (each.job, _time(each.last_success_ms), _time(each.last_failure_ms), each.last_error or "") for each in jobs
    ]
    return _table("Jobs", ("job", "last success", "last failure", "error"), rows)


def _replicas(replicas: Iterable[ReplicaRow]) -> RenderableType:
    rows = [
        (each.holder, each.version, each.revision, _time(each.started_ms), _time(each.seen_ms)) for each in replicas
    ]
    return _table("Replicas", ("replica", "version", "revision", "started (UTC)", "last seen (UTC)"), rows)


def _table(title: str, columns: Iterable[str], rows: Sequence[tuple[str, ...]]) -> RenderableType:
    if not rows:
        return Text(f"{title}: none yet\n", style="dim")
    # Without lines between them the widest table fits a terminal of 80 characters.
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, padding=(0, 1, 0, 0), pad_edge=False
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _time(at_ms: int | None) -> str:
    if at_ms is None:
        return ""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
