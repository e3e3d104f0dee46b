"""The page as strangers may see it: numbers, and the names that `/metrics` shows as well. Pure."""

from dataclasses import replace

from monitor.status_page.view import AlertView, ComparisonView, PageView


def numbers_only(view: PageView) -> PageView:
    """The page without traces' texts and ids, causes, errors, addresses and hosts."""
    return replace(
        view,
        with_texts=False,
        dependencies=tuple(replace(each, cause=None) for each in view.dependencies),
        alerts=tuple(_alert(each) for each in view.alerts),
        comparisons=tuple(_comparison(each) for each in view.comparisons),
        dataset=None if view.dataset is None else replace(view.dataset, name=replace(view.dataset.name, url=None)),
        jobs=tuple(replace(each, error=None) for each in view.jobs),
        replicas=tuple(replace(each, holder=None) for each in view.replicas),
        traces=None,
    )


def _alert(alert: AlertView) -> AlertView:
    return replace(
        alert,
        first_version=None,
        explained_by=(),
        examples=(),
        warnings=(),
        facts=tuple((name, value) for name, value in alert.facts if not isinstance(value, str) and ":" not in name),
        run=None,
    )


def _comparison(comparison: ComparisonView) -> ComparisonView:
    return replace(
        comparison,
        candidate=replace(comparison.candidate, url=None),
        baseline=replace(comparison.baseline, url=None),
        metrics=tuple(replace(each, note=None) for each in comparison.metrics),
        turned=(),
    )
