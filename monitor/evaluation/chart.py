"""The differences of a comparison with their intervals, as positions for a drawing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

WIDTH = 760.0
_LEFT, _RIGHT, _ROW, _TOP, _BOTTOM = 230.0, 20.0, 30.0, 12.0, 30.0
_STEPS = (0.05, 0.1, 0.25, 0.5)
_MOST_TICKS = 9
_LABEL_CHARS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One scorer: where its difference, and its interval if it has one, stand. Positions are in the drawing's units."""

    scorer: str
    label: str
    verdict: str
    y: float
    x: float
    interval: tuple[float, float] | None
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """All scorers over one axis. `ticks` are positions with the numbers that stand there."""

    width: float
    height: float
    left: float
    right: float
    zero: float
    bottom: float
    ticks: tuple[tuple[float, str], ...]
    bars: tuple[Bar, ...]


def difference_chart(metrics: Sequence[Mapping[str, Any]]) -> Chart | None:
    """The chart of the metrics that `comparison_json` gives; None where no scorer has a difference."""
    shown = [metric for metric in metrics if metric["difference"] is not None]
    if not shown:
        return None
    ends = [0.0]
    for metric in shown:
        ends += [end for key in ("difference", "ci_low", "ci_high") if (end := metric[key]) is not None]
    step = next((each for each in _STEPS if (max(ends) - min(ends)) / each < _MOST_TICKS - 2), _STEPS[-1])
    low, high = floor(min(ends) / step - 1e-9), ceil(max(ends) / step + 1e-9)
    right = WIDTH - _RIGHT

    def position(value: float) -> float:
        return round(_LEFT + (value / step - low) / (high - low) * (right - _LEFT), 1)

    bottom = _TOP + _ROW * len(shown)
    return Chart(
        width=WIDTH,
        height=bottom + _BOTTOM,
        left=_LEFT,
        right=right,
        zero=position(0.0),
        bottom=bottom,
        ticks=tuple((position(tick * step), f"{tick * step:+.2f}" if tick else "0") for tick in range(low, high + 1)),
        bars=tuple(_bar(metric, _TOP + _ROW * (row + 0.5), position) for row, metric in enumerate(shown)),
    )


def _bar(metric: Mapping[str, Any], y: float, position: Callable[[float], float]) -> Bar:
    low, high = metric["ci_low"], metric["ci_high"]
    words = f"{metric['scorer']}: {metric['difference']:+.3f}"
    if low is not None:
        words += f", 95 % interval {low:+.3f} to {high:+.3f}"
    scorer = metric["scorer"]
    return Bar(
        scorer=scorer,
        label=scorer if len(scorer) <= _LABEL_CHARS else f"{scorer[: _LABEL_CHARS - 1]}…",
        verdict=metric["verdict"],
        y=y,
        x=position(metric["difference"]),
        interval=None if low is None else (position(low), position(high)),
        words=f"{words}, {metric['verdict']}",
    )
