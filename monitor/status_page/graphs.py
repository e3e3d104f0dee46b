"""Small drawings as numbers: where lines, bands and dots lie. Pure; the template writes them as SVG."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Final

from monitor.status_page.view import ComparisonView, MetricView, SeriesView
from monitor.status_page.words import percent

WIDTH: Final = 160.0
HEIGHT: Final = 40.0
_MARGIN: Final = 4.0
_HIGHEST_FLOOR: Final = 0.9
"""The axis begins at 90 % at the latest, so that noise looks like noise."""
_LEAST_REACH: Final = 0.1

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sparkline:
    """Pass rates over time, from left to right, better is higher.

    Attributes:
        lines: SVG paths, one for each stretch without a gap.
        dots: of single hours between gaps.
        last: the newest hour with a verdict.
        mark: height of the target or reference.
        band: upper edge and height of the interval.
        words: the same for who does not see it.
    """

    lines: Sequence[str]
    dots: Sequence[Point]
    last: Point | None
    mark: float | None
    band: tuple[float, float] | None
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Whisker:
    """A difference with its interval on an axis whose middle is no difference."""

    left: float | None
    right: float | None
    dot: float | None
    words: str


def sparkline(series: SeriesView) -> Sparkline:
    """The drawing of a series."""
    known = [rate for rate in series.spark if rate is not None]
    low = _axis_begin([*known, *_given(series.target_or_reference, series.lower)])

    def y(rate: float) -> float:
        share = (min(1.0, max(low, rate)) - low) / (1 - low)
        return round(HEIGHT - _MARGIN - share * (HEIGHT - 2 * _MARGIN), 1)

    step = (WIDTH - 2 * _MARGIN) / max(1, len(series.spark) - 1)
    stretches = [
        [(round(_MARGIN + place * step, 1), y(rate)) for place, rate in stretch] for stretch in _stretches(series.spark)
    ]
    longer = [stretch for stretch in stretches if len(stretch) > 1]
    band = None
    if series.lower is not None and series.upper is not None:
        band = (y(series.upper), max(1.0, round(y(series.lower) - y(series.upper), 1)))
    return Sparkline(
        lines=[_path(stretch) for stretch in longer],
        dots=[stretch[0] for stretch in stretches if len(stretch) == 1],
        last=stretches[-1][-1] if stretches else None,
        mark=None if series.target_or_reference is None else y(series.target_or_reference),
        band=band,
        words=_spark_words(known),
    )


def whisker(metric: MetricView, reach: float) -> Whisker:
    """The drawing of a scorer's difference, on an axis from -reach to +reach."""

    def x(difference: float) -> float:
        share = (min(reach, max(-reach, difference)) + reach) / (2 * reach)
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    known = metric.lower is not None and metric.upper is not None
    return Whisker(
        left=x(metric.lower) if known and metric.lower is not None else None,
        right=x(metric.upper) if known and metric.upper is not None else None,
        dot=None if metric.difference is None else x(metric.difference),
        words=f"Verdict: {metric.verdict}",
    )


def reach_of(comparison: ComparisonView) -> float:
    """How far the axis of a comparison must go, in steps of a tenth."""
    ends = [abs(end) for metric in comparison.metrics for end in _given(metric.lower, metric.upper, metric.difference)]
    return min(1.0, max(_LEAST_REACH, (floor(max(ends, default=0.0) * 10) + 1) / 10))


def filled(share: float) -> float:
    """The width of a meter of 100 that is filled so far; a little is never nothing."""
    return 0.0 if share <= 0 else round(min(100.0, max(1.5, share * 100)), 1)


def _given(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]


def _axis_begin(rates: Iterable[float]) -> float:
    lowest = min(rates, default=1.0)
    return min(_HIGHEST_FLOOR, max(0.0, floor((lowest - 0.02) * 10) / 10))


def _stretches(rates: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    stretches: list[list[tuple[int, float]]] = []
    gap = True
    for place, rate in enumerate(rates):
        if rate is None:
            gap = True
            continue
        if gap:
            stretches.append([])
        stretches[-1].append((place, rate))
        gap = False
    return stretches


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _spark_words(known: Sequence[float]) -> str:
    if not known:
        return "No verdict in the last 24 hours"
    return (
        f"Pass rate by hour over the last 24 hours: from {percent(min(known))} to {percent(max(known))}, "
        f"lately {percent(known[-1])}"
    )
