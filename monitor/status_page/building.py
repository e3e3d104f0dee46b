"""From what is asked, what this process knows and what the ledger said to the page's view. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from monitor.last_known import Known
from monitor.ledger.rows import JobRow, PositionRow
from monitor.overview import Overview
from monitor.status_page.alerts import alert_views
from monitor.status_page.comparisons import comparison_views
from monitor.status_page.facts import Asked, Own, Told
from monitor.status_page.missing import missing_of
from monitor.status_page.series import counts_of, scorer_views, series_views, with_hours
from monitor.status_page.view import (
    AccountView,
    DatasetView,
    DebtView,
    DependencyView,
    JobView,
    JudgeView,
    Link,
    PageView,
    PartitionView,
    PotView,
    ReplicaView,
)
from monitor.status_page.words import duration

_ALERTS_JOB = "alerts"


def page_view(asked: Asked, own: Own, told: Known[Told] | None, now_ms: int) -> PageView:
    """The page of now. `told` is None as long as the ledger has said nothing."""
    known = None if told is None else told.value.overview
    return PageView(
        app=asked.app,
        version=asked.version,
        labels=asked.labels,
        now_ms=now_ms,
        age_s=None if told is None else told.age_s,
        ready=all(each.up for each in own.dependencies.values()),
        dependencies=tuple(
            DependencyView(name=name, up=each.up, cause=each.cause or None)
            for name, each in sorted(own.dependencies.items(), key=lambda item: item[1].up)
        ),
        observing=asked.observing,
        missing=tuple(missing_of(asked, own, known)),
        judge=_judge(own),
        traces=None if own.links is None else Link(text="Traces in MLflow", url=own.links.experiment),
        **({} if told is None else _of_ledger(asked, own, told.value, now_ms)),
    )


def untested_since(jobs: Iterable[JobView], now_ms: int) -> str | None:
    """Why no series has been looked at lately; None where they were."""
    job = next((each for each in jobs if each.job == _ALERTS_JOB), None)
    if job is None or job.last_success_ms is None:
        return "not tested yet: no replica has looked at the series"
    if job.overdue:
        return f"not tested for {duration((now_ms - job.last_success_ms) / 1000)}: the job `{_ALERTS_JOB}` is overdue"
    return None


def _of_ledger(asked: Asked, own: Own, told: Told, now_ms: int) -> dict[str, Any]:
    known = told.overview
    alerts = alert_views(known.open_alerts, own.links)
    jobs = [_job(asked, row, now_ms) for row in known.jobs]
    untested = untested_since(jobs, now_ms)
    series = with_hours(series_views(asked, known.pass_rates, known.open_alerts, untested, known.series), told.hours)
    return {
        "alerts": tuple(alerts),
        "firing": sum(row.state == "firing" for row in known.open_alerts),
        "pending": sum(row.state == "pending" for row in known.open_alerts),
        "counts": counts_of(series),
        "scorers": tuple(scorer_views(series)),
        "jobs": tuple(sorted(jobs, key=lambda job: (not (job.failing or job.overdue), job.job))),
        "judges": tuple(sorted(known.judges, key=lambda each: (not each.frozen.moved, each.warning is None))),
        "comparisons": tuple(comparison_views(known.comparisons, own.links)),
        "partitions": tuple(_partition(row, own) for row in known.positions),
        "accounts": tuple(accounts_of(known)),
        "debt": DebtView(
            events=known.debt.events,
            verdicts=known.debt.verdicts,
            seconds=known.debt.seconds,
            dollars=known.debt.dollars,
        ),
        "pots": tuple(
            PotView(name=pot.name, unit=pot.unit, limit=pot.limit, spent=pot.spent, share=pot.share)
            for pot in sorted(known.pots, key=lambda pot: -pot.share)
        ),
        "dataset": _dataset(asked, own, known),
        "replicas": tuple(
            ReplicaView(holder=row.holder, version=row.version, started_ms=row.started_ms, seen_ms=row.seen_ms)
            for row in known.replicas
        ),
    }


def accounts_of(known: Overview) -> list[AccountView]:
    """What became of the events, those that do not add up first."""
    outcomes: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in known.accounted:
        outcomes[row.scorer][row.outcome] = row.count
    off = {row.scorer: row.received - row.accounted for row in known.mismatches}
    views = [
        AccountView(scorer=scorer, outcomes=outcomes.get(scorer, {}), missing=off.get(scorer, 0))
        for scorer in sorted(outcomes.keys() | off.keys())
    ]
    return sorted(views, key=lambda view: view.missing == 0)


def _partition(row: PositionRow, own: Own) -> PartitionView:
    return PartitionView(
        topic=row.topic,
        partition=row.partition,
        next_offset=row.next_offset,
        received=row.received,
        lost=row.lost,
        lag=own.lags.get((row.topic, row.partition)),
    )


def _judge(own: Own) -> JudgeView | None:
    if own.judge is None:
        return None
    return JudgeView(circuit=own.judge.circuit, allowed=own.judge.allowed, in_flight=own.judge.in_flight)


def _dataset(asked: Asked, own: Own, known: Overview) -> DatasetView | None:
    if asked.dataset is None or known.dataset_rows is None:
        return None
    name, most = asked.dataset
    url = None if own.links is None else own.links.datasets
    return DatasetView(name=Link(text=name, url=url), rows=known.dataset_rows, most=most)


def _job(asked: Asked, row: JobRow, now_ms: int) -> JobView:
    due_s = asked.deadline_s(row.job, None if row.last_success_ms is None else row.last_success_ms / 1000)
    return JobView(
        job=row.job,
        last_success_ms=row.last_success_ms,
        last_failure_ms=row.last_failure_ms,
        error=row.last_error,
        overdue=due_s is not None and now_ms / 1000 > due_s,
    )
