"""What the daemon knows, as tables, read from the ledger alone."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from monitor.clock import Clock
from monitor.commands.tables import plain_table
from monitor.config import Config
from monitor.daemon.assembly import quality_of, recorded_scorers_of, recorded_series_of
from monitor.debt import debt_of
from monitor.evaluation.table import comparison_table
from monitor.labels.quality import alike
from monitor.ledger import Ledger
from monitor.ledger.migrate import ALIVE_FOR_MS
from monitor.spending import Spending

_ALERTS_SHOWN = 10


def status_tables(config: Config, ledger: Ledger, clock: Clock) -> Iterator[RenderableType]:
    """One table for each thing that is known; a line where there is nothing yet.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    yield _positions(ledger)
    yield _accounting(ledger)
    yield _debt(config, ledger, clock)
    yield _spend(config, ledger, clock)
    yield _series(config, ledger, clock)
    yield _labels(config, ledger, clock)
    yield from _shadows(config, ledger, clock)
    yield _alerts(ledger)
    yield _receivers(config, ledger, clock)
    if config.dataset is not None:
        name, most = config.dataset.name, config.dataset.max_rows
        yield Text(f"Dataset {name}: {ledger.members.count(name)} rows of at most {most}\n")
    yield _jobs(ledger)
    yield _replicas(ledger, clock)
    comparisons = ledger.evaluations.comparisons()
    if not comparisons:
        yield Text("Comparisons: none yet", style="dim")
    for row in comparisons:
        yield Text(f"Comparison of {row.candidate}, {_time(row.finished_at_ms)}")
        yield comparison_table(row.comparison)


def _positions(ledger: Ledger) -> RenderableType:
    rows = [
        (
            each.topic,
            str(each.partition),
            f"{each.next_offset:,}",
            "" if each.lag is None else f"{each.lag:,}",
            f"{each.received:,}",
            f"{each.lost:,}",
        )
        for each in ledger.positions.all()
    ]
    return plain_table("Positions", ("topic", "partition", "next offset", "lag", "received", "lost to retention"), rows)


def _debt(config: Config, ledger: Ledger, clock: Clock) -> RenderableType:
    debt = debt_of(ledger, [scorer.name for scorer in config.scorers], clock.now_ms())
    if debt.verdicts == 0:
        return Text("Owed verdicts: none\n", style="dim")
    pace = "no pace: nothing was judged in 15 minutes" if debt.seconds is None else f"{debt.seconds / 60:,.0f} minutes"
    price = "" if debt.dollars is None else f", ${debt.dollars:,.2f}"
    return Text(f"Owed verdicts: {debt.verdicts:,}, parked; to catch up: {pace}{price}\n")


def _spend(config: Config, ledger: Ledger, clock: Clock) -> RenderableType:
    spending = Spending(ledger.spend, config.spend, {}, clock, attempts=1, evaluates=config.evaluates)
    rows = [
        (pot.name, f"{pot.spent:,.2f}", f"{pot.limit:,.2f}", pot.unit, f"{pot.share:.0%}") for pot in spending.pots()
    ]
    return plain_table("Spend today (UTC)", ("pot", "spent", "limit", "unit", "share"), rows)


def _accounting(ledger: Ledger) -> RenderableType:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for each in ledger.positions.accounted():
        counts[each.scorer][each.outcome] = each.count
    outcomes = sorted({outcome for row in counts.values() for outcome in row})
    rows = [
        (scorer, *(f"{row.get(outcome, 0):,}" for outcome in outcomes), f"{sum(row.values()):,}")
        for scorer, row in sorted(counts.items())
    ]
    return plain_table("Events accounted for", ("scorer", *(each.replace("_", " ") for each in outcomes), "sum"), rows)


def _series(config: Config, ledger: Ledger, clock: Clock) -> RenderableType:
    views = recorded_series_of(config, ledger, clock.now_ms())
    rows = [
        (
            each.scorer,
            each.segment,
            each.word if not each.shadow else f"{each.word} (shadow)",
            _rate(each.rate),
            f"{_rate(each.lower)}-{_rate(each.upper)}",
            _rate(each.reference),
            _rate(each.detectable_drop),
            f"{each.verdicts:,}",
        )
        for each in views
    ]
    columns = ("scorer", "segment", "state", "rate", "interval", "held to", "notices", "verdicts")
    title = f"Series: pass rates of {config.statistics.window / timedelta(hours=1):g} h, and the drop noticed in a day"
    reasons = [f"  {each.scorer} in {each.segment}: {each.reason}\n" for each in views if each.reason is not None]
    return Group(plain_table(title, columns, rows), Text("".join(reasons), style="dim"))


def _labels(config: Config, ledger: Ledger, clock: Clock) -> RenderableType:
    """What people said: those who were asked, of traces drawn at random, and all the others, who are only listed."""
    now_ms, settings = clock.now_ms(), config.labelling
    since_ms = now_ms - settings.window // timedelta(milliseconds=1)
    versions = {name: each.version for name, each in recorded_scorers_of(config, ledger).items()}
    quality = {each.scorer: each for each in quality_of(config, ledger, versions).read(now_ms)}
    rows = []
    for count in ledger.labels.counts(since_ms):
        found = quality.get(count.scorer) if count.drawn else None
        agreement = None if found is None else found.agreement
        corrected = None if found is None else found.corrected
        rows.append(
            (
                count.scorer,
                "drawn" if count.drawn else "volunteered",
                f"{count.passed:,}",
                f"{count.failed:,}",
                "" if agreement is None else f"{agreement.share:.0%}",
                "" if corrected is None else f"{corrected.rate:.3f} ({corrected.lower:.3f}-{corrected.upper:.3f})",
            )
        )
    columns = ("scorer", "traces", "pass", "fail", "agreement", "corrected pass rate")
    return plain_table(f"Labels of {settings.window / timedelta(days=1):g} days", columns, rows)


def _shadows(config: Config, ledger: Ledger, clock: Clock) -> Iterator[RenderableType]:
    since_ms = clock.now_ms() - config.statistics.window // timedelta(milliseconds=1)
    for each in config.scorers:
        if each.shadow_of is None:
            continue
        found = alike(ledger.figures.judged_alike(each.name, each.shadow_of, since_ms))
        if found is None:
            yield Text(f"Shadow {each.name} and {each.shadow_of}: no trace that both have judged\n", style="dim")
        else:
            kappa = "" if found.kappa is None else f", kappa {found.kappa:.2f}"
            yield Text(
                f"Shadow {each.name} and {each.shadow_of} agree on {found.share:.0%} "
                f"({found.lower:.0%}-{found.upper:.0%}) of {found.n:,} traces{kappa}\n"
            )


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.3f}"


def _alerts(ledger: Ledger) -> RenderableType:
    rows = [
        (each.state, each.kind.removesuffix("_regression"), each.scorer, each.segment, _time(each.since_ms)[:-3])
        for each in ledger.alerts.history(_ALERTS_SHOWN)
    ]
    return plain_table("Alerts", ("state", "regression", "scorer", "segment", "since (UTC)"), rows)


def _receivers(config: Config, ledger: Ledger, clock: Clock) -> RenderableType:
    states = ledger.deliveries.states([each.name for each in config.alerts.told], clock.now_ms())
    rows = [
        (name, "failing" if state.failing else "working", f"{state.owed:,}", state.last_error or "")
        for name, state in states.items()
    ]
    return plain_table("Receivers of alerts", ("receiver", "state", "undelivered", "error"), rows)


def _jobs(ledger: Ledger) -> RenderableType:
    rows = [
        (each.job, _time(each.last_success_ms), _time(each.last_failure_ms), each.last_error or "")
        for each in ledger.jobs.all()
    ]
    return plain_table("Jobs", ("job", "last success", "last failure", "error"), rows)


def _replicas(ledger: Ledger, clock: Clock) -> RenderableType:
    rows = [
        (each.holder, each.version, each.revision, _time(each.started_ms), _time(each.seen_ms))
        for each in ledger.replicas.seen_since(clock.now_ms() - ALIVE_FOR_MS)
    ]
    return plain_table("Replicas", ("replica", "version", "revision", "started (UTC)", "last seen (UTC)"), rows)


def _time(at_ms: int | None) -> str:
    if at_ms is None:
        return ""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
