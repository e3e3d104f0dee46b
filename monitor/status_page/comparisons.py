"""Candidates against their baseline, the worst first. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from monitor.ledger.rows import ComparisonRow
from monitor.status_page.links import run_link, trace_link
from monitor.status_page.view import ComparisonView, MetricView, TurnedView
from monitor.tracking.links import MlflowLinks

TURNED_SHOWN: Final = 3

_WORST_FIRST: Final = ("regressed", "inconclusive", "equivalent", "improved")


def comparison_views(rows: Iterable[ComparisonRow], links: MlflowLinks | None) -> list[ComparisonView]:
    """The comparisons: those with a regression first, then the newest."""
    views = [_view(row, links) for row in rows]
    return sorted(views, key=lambda view: (not view.regressed, -view.finished_ms))


def _view(row: ComparisonRow, links: MlflowLinks | None) -> ComparisonView:
    value = row.comparison
    baseline, candidate = value["baseline"], value["candidate"]
    metrics = sorted((_metric(metric) for metric in value["metrics"]), key=_by_urgency)
    order = {metric.scorer: place for place, metric in enumerate(metrics)}
    turned = sorted(value["pass_to_fail"], key=lambda each: order.get(each["scorer"], len(order)))
    return ComparisonView(
        candidate=run_link(str(candidate["version"]), candidate.get("run_id"), links),
        baseline=run_link(str(baseline["version"]), baseline.get("run_id"), links),
        dataset=value["dataset"].get("name"),
        rows=value["dataset"]["rows"],
        finished_ms=row.finished_at_ms,
        candidate_overall=candidate["overall"],
        baseline_overall=baseline["overall"],
        difference=value["overall_difference"],
        metrics=tuple(metrics),
        pass_to_fail=len(value["pass_to_fail"]),
        fail_to_pass=len(value["fail_to_pass"]),
        turned=tuple(_turned(each, links) for each in turned[:TURNED_SHOWN]),
    )


def _by_urgency(metric: MetricView) -> tuple[int, float]:
    known = metric.verdict in _WORST_FIRST
    return (
        _WORST_FIRST.index(metric.verdict) if known else 0,
        0.0 if metric.difference is None else metric.difference,
    )


def _metric(metric: Mapping[str, Any]) -> MetricView:
    return MetricView(
        scorer=metric["scorer"],
        baseline=metric["baseline"],
        candidate=metric["candidate"],
        difference=metric["difference"],
        lower=metric["ci_low"],
        upper=metric["ci_high"],
        verdict=metric["verdict"],
        rows_needed=metric["rows_needed"],
        errors=sum(metric["errors"].values()),
        note=metric.get("note"),
    )


def _turned(changed: Mapping[str, Any], links: MlflowLinks | None) -> TurnedView:
    return TurnedView(
        scorer=changed["scorer"],
        candidate=trace_link(changed["candidate"]["trace_id"], links),
        rationale=changed["candidate"]["rationale"],
        baseline=trace_link(changed["baseline"]["trace_id"], links),
    )
