"""What the daemon knows, as tables, read from the ledger alone."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from monitor.clock import Clock
from monitor.commands.tables import plain_table
from monitor.config import Config
from monitor.daemon.assembly import recorded_judges_of, recorded_series_of
from monitor.evaluation.table import comparison_table
from monitor.labels.standing import FrozenSet, JudgeStanding, ShadowAgreement
from monitor.ledger import Accounted, AlertRow, JobRow, Ledger, PositionRow, ReplicaRow
from monitor.overview import Overview, OverviewReader
from monitor.series.watched import ALL
from monitor.spend.spending import Spending

_ALERTS_SHOWN = 10
_OWN_WORDS = ("warning", "held_back")


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
    yield _series(config, known)
    yield _labels(config, ledger, known)
    yield _frozen(known.judges)
    yield from (_shadow(each) for judge in known.judges for each in judge.shadows)
    yield _alerts(ledger.alerts.history(_ALERTS_SHOWN))
    yield _receivers(config, ledger, clock)
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


def status_json(config: Config, ledger: Ledger, clock: Clock) -> dict[str, Any]:
    """The same as one object. Of alerts it has no text of a trace or of a judge, only the daemon's own words.

    Raises:
        LedgerUnavailable: the ledger does not answer.
    """
    known = _reader(config, ledger, clock).read()
    receivers = ledger.deliveries.states([each.name for each in config.alerts.told], known.at_ms)
    dataset = config.dataset
    return {
        "app": config.app,
        "at_ms": known.at_ms,
        "positions": _dicts(known.positions),
        "accounted": _dicts(known.accounted),
        "mismatches": _dicts(known.mismatches),
        "debt": asdict(known.debt),
        "spend": [{**asdict(pot), "share": pot.share} for pot in known.pots],
        "series": _dicts(known.series),
        "labels": _dicts(ledger.labels.counts(_labelled_since(config, known))),
        "judges": _dicts(known.judges),
        "alerts": [_alert_json(each) for each in ledger.alerts.history(_ALERTS_SHOWN)],
        "receivers": [{"name": name, **asdict(state)} for name, state in receivers.items()],
        "dataset": None if dataset is None else {"name": dataset.name, "rows": known.dataset_rows},
        "jobs": _dicts(known.jobs),
        "replicas": _dicts(known.replicas),
        "comparisons": _dicts(known.comparisons),
    }


def _dicts(values: Iterable[Any]) -> list[dict[str, Any]]:
    return [asdict(each) for each in values]


def _alert_json(alert: AlertRow) -> dict[str, Any]:
    shown = ("id", "kind", "scorer", "segment", "state", "severity", "since_ms", "fired_ms", "resolved_ms")
    words = {name: alert.details.get(name) for name in _OWN_WORDS}
    return {name: getattr(alert, name) for name in shown} | words


def _labelled_since(config: Config, known: Overview) -> int:
    return known.at_ms - config.labelling.window // timedelta(milliseconds=1)


def _reader(config: Config, ledger: Ledger, clock: Clock) -> OverviewReader:
    spending = Spending(ledger.spend, config.spend, {}, clock, attempts=1, evaluates=config.evaluates)
    return OverviewReader(
        ledger=ledger,
        clock=clock,
        window=config.statistics.window,
        dataset=None if config.dataset is None else config.dataset.name,
        scorers=frozenset(scorer.name for scorer in config.scorers),
        pots=spending.pots,
        candidates=config.candidates,
        series=lambda now_ms: recorded_series_of(config, ledger, now_ms),
        judges=lambda now_ms: recorded_judges_of(config, ledger).read(now_ms),
    )


def _positions(positions: Iterable[PositionRow]) -> RenderableType:
    rows = [
        (
            each.topic,
            str(each.partition),
            f"{each.next_offset:,}",
            "" if each.lag is None else f"{each.lag:,}",
            f"{each.received:,}",
            f"{each.lost:,}",
        )
        for each in positions
    ]
    return plain_table("Positions", ("topic", "partition", "next offset", "lag", "received", "lost to retention"), rows)


def _debt(known: Overview) -> RenderableType:
    debt = known.debt
    waiting = "" if debt.events is None else f"; events in the stream: {debt.events:,}"
    if debt.verdicts == 0:
        return Text(f"Owed verdicts: none{waiting}\n", style="dim")
    pace = "no pace: nothing was judged in 15 minutes" if debt.seconds is None else f"{debt.seconds / 60:,.0f} minutes"
    calls = "" if debt.calls is None else f", {debt.calls:,} judge calls"
    price = "" if debt.dollars is None else f", ${debt.dollars:,.2f}"
    owed = f"Owed verdicts: {debt.verdicts:,}, parked of them: {debt.parked:,}{waiting}"
    return Text(f"{owed}; to catch up: {pace}{calls}{price}\n")


def _spend(known: Overview) -> RenderableType:
    rows = [(pot.name, f"{pot.spent:,.2f}", f"{pot.limit:,.2f}", pot.unit, f"{pot.share:.0%}") for pot in known.pots]
    return plain_table("Spend today (UTC)", ("pot", "spent", "limit", "unit", "share"), rows)


def _accounting(accounted: Iterable[Accounted]) -> RenderableType:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for each in accounted:
        counts[each.scorer][each.outcome] = each.count
    outcomes = sorted({outcome for row in counts.values() for outcome in row})
    rows = [
        (scorer, *(f"{row.get(outcome, 0):,}" for outcome in outcomes), f"{sum(row.values()):,}")
        for scorer, row in sorted(counts.items())
    ]
    return plain_table("Events accounted for", ("scorer", *(each.replace("_", " ") for each in outcomes), "sum"), rows)


def _series(config: Config, known: Overview) -> RenderableType:
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
        for each in known.series
    ]
    columns = ("scorer", "segment", "state", "rate", "interval", "held to", "notices", "verdicts")
    title = f"Series: pass rates of {config.statistics.window / timedelta(hours=1):g} h, and the drop noticed in a day"
    reasons = [
        f"  {each.scorer} in {each.segment}: {each.reason}\n" for each in known.series if each.reason is not None
    ]
    changes = [
        f"  {each.scorer}: anew since {_time(each.anew_ms)} UTC, when the scorer changed\n"
        for each in known.series
        if each.segment == ALL and each.anew_ms is not None
    ]
    return Group(plain_table(title, columns, rows), Text("".join([*reasons, *changes]), style="dim"))


def _labels(config: Config, ledger: Ledger, known: Overview) -> RenderableType:
    """What people said: those who were asked, of traces drawn at random, and all the others, who are only listed."""
    judges = {each.scorer: each for each in known.judges}
    rows = []
    for count in ledger.labels.counts(_labelled_since(config, known)):
        found = judges.get(count.scorer) if count.drawn else None
        agreement = None if found is None else found.agreement
        corrected = None if found is None else found.corrected
        rows.append(
            (
                count.scorer,
                "drawn" if count.drawn else "volunteered",
                f"{count.passed:,}",
                f"{count.failed:,}",
                "" if agreement is None else f"{agreement.share:.0%} ({agreement.lower:.0%}-{agreement.upper:.0%})",
                "" if corrected is None else f"{corrected.rate:.3f} ({corrected.lower:.3f}-{corrected.upper:.3f})",
            )
        )
    columns = ("scorer", "traces", "pass", "fail", "agreement", "corrected pass rate")
    title = f"Labels of {config.labelling.window / timedelta(days=1):g} days"
    warnings = [f"  {each.scorer}: {each.warning}\n" for each in known.judges if each.warning is not None]
    return Group(plain_table(title, columns, rows), Text("".join(warnings), style="dim"))


def _frozen(judges: Sequence[JudgeStanding]) -> RenderableType:
    rows = [
        (
            each.scorer,
            f"{each.frozen.rows:,}",
            _time(each.frozen.judged_ms),
            f"{each.frozen.changed:,}",
            _movement(each.frozen),
        )
        for each in judges
        if each.frozen.rows
    ]
    columns = ("scorer", "rows", "last judged (UTC)", "now judged otherwise", "judge")
    return plain_table("Frozen sets, judged again on a schedule", columns, rows)


def _movement(frozen: FrozenSet) -> str:
    return "not judged again yet" if frozen.moved is None else "has moved" if frozen.moved else "as it was"


def _shadow(shadow: ShadowAgreement) -> RenderableType:
    found = shadow.agreement
    if found is None:
        return Text(f"Shadow {shadow.scorer} and {shadow.beside}: no trace that both have judged\n", style="dim")
    kappa = "" if found.kappa is None else f", kappa {found.kappa:.2f}"
    return Text(
        f"Shadow {shadow.scorer} and {shadow.beside} agree on {found.share:.0%} "
        f"({found.lower:.0%}-{found.upper:.0%}) of {found.n:,} traces{kappa}\n"
    )


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.3f}"


def _alerts(history: Sequence[AlertRow]) -> RenderableType:
    rows = [
        (each.state, each.kind.removesuffix("_regression"), each.scorer, each.segment, _time(each.since_ms)[:-3])
        for each in history
    ]
    words = [
        f"  {each.scorer} in {each.segment}: {each.details[name]}\n"
        for each in history
        if each.state != "resolved"
        for name in _OWN_WORDS
        if name in each.details
    ]
    table = plain_table("Alerts", ("state", "regression", "scorer", "segment", "since (UTC)"), rows)
    return Group(table, Text("".join(words), style="dim"))


def _receivers(config: Config, ledger: Ledger, clock: Clock) -> RenderableType:
    states = ledger.deliveries.states([each.name for each in config.alerts.told], clock.now_ms())
    rows = [
        (name, "failing" if state.failing else "working", f"{state.owed:,}", state.last_error or "")
        for name, state in states.items()
    ]
    return plain_table("Receivers of alerts", ("receiver", "state", "undelivered", "error"), rows)


def _jobs(jobs: Iterable[JobRow]) -> RenderableType:
    rows = [
        (each.job, _time(each.last_success_ms), _time(each.last_failure_ms), each.last_error or "") for each in jobs
    ]
    return plain_table("Jobs", ("job", "last success", "last failure", "error"), rows)


def _replicas(replicas: Iterable[ReplicaRow]) -> RenderableType:
    rows = [
        (each.holder, each.version, each.revision, _time(each.started_ms), _time(each.seen_ms)) for each in replicas
    ]
    return plain_table("Replicas", ("replica", "version", "revision", "started (UTC)", "last seen (UTC)"), rows)


def _time(at_ms: int | None) -> str:
    if at_ms is None:
        return ""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
