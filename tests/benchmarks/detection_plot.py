"""Draws `docs/detection.svg`, delay against false pages: `python tests/benchmarks/detection_plot.py`."""

import sys
from dataclasses import dataclass
from html import escape
from math import log10
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from detection import AT, PER_BUDGET, TUNED_PAGE_HINKLEY
from river.drift import ADWIN, PageHinkley
from simulated_alerts import river_delays, river_run_length
from simulated_detectors import (
    Change,
    oracle_of,
    own_delays,
    own_run_length,
    rule_delays,
    rule_run_length,
    threshold_for,
    window_test,
)

OUT = Path(__file__).parents[2] / "docs" / "detection.svg"
CHANGE = Change(before=0.95, after=0.90)
THRESHOLDS = (3_000, 10_000, 30_000, 100_000, 300_000, PER_BUDGET, 1_500_000)

WIDTH, HEIGHT = 800, 500
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 44, 56
PAGES = (0.1, 3_000.0)
DELAYS = (80.0, 10_000.0)

# Where a label stands beside its point: anchor and pixels, where the right side is taken.
PLACES = {
    "Prometheus, 24 h": ("end", -2, 36),
    "window of 200, z 1.6": ("middle", -10, 24),
    "window of 200, z 2.3": ("end", -8, 42),
    "Prometheus, 6 h": ("start", 8, 12),
    "window of 50, z 2.3": ("start", 8, -3),
    "ADWIN, delta 0.6": ("start", 8, 8),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """False pages a month of 40 series, and verdicts from the change to the alarm."""

    pages: float
    delay: float
    label: str = ""


def main() -> None:
    """Simulate and draw."""
    rng = np.random.default_rng(20)
    own, best = _lines(rng)
    OUT.write_text(_svg(own, best, list(_others(rng))), encoding="utf-8")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


def _lines(rng: np.random.Generator) -> tuple[list[Point], list[Point]]:
    own, best = [], []
    for threshold in THRESHOLDS:
        length, _ = own_run_length(rng, CHANGE.before, threshold, 800)
        pages = PER_BUDGET / length
        label = "Tracewatch, 1 in 30 days" if threshold == PER_BUDGET else ""
        own.append(Point(pages=pages, delay=own_delays(rng, CHANGE, threshold, runs=10_000, at=AT).mean, label=label))
        oracle = oracle_of(CHANGE, length, cycles=50_000)
        best.append(Point(pages=pages, delay=oracle.delays(rng, runs=10_000, at=AT).mean))
    return own, best


def _others(rng: np.random.Generator):
    half_way = (CHANGE.before + CHANGE.after) / 2
    rules = {
        "window of 50, z 2.3": window_test(CHANGE.before, 50, 2.326),
        "window of 200, z 1.6": window_test(CHANGE.before, 200, 1.645),
        "window of 200, z 2.3": window_test(CHANGE.before, 200, 2.326),
        "Prometheus, 6 h": threshold_for(half_way, 120, 20),
        "Prometheus, 24 h": threshold_for(half_way, 480, 20),
    }
    for name, rule in rules.items():
        length, _ = rule_run_length(rng, rule, CHANGE.before, runs=400, cut=100_000)
        delays = rule_delays(rng, rule, CHANGE, runs=4000, at=AT, cut=5_000).times
        yield Point(pages=PER_BUDGET / length, delay=float(delays[delays > 0].mean()), label=name)
    detectors = {
        "Page-Hinkley, default": lambda: PageHinkley(mode="down"),
        "Page-Hinkley, tuned": lambda: PageHinkley(mode="down", threshold=TUNED_PAGE_HINKLEY[CHANGE.before]),
        "ADWIN, default": ADWIN,
        "ADWIN, delta 0.6": lambda: ADWIN(delta=0.6),
    }
    for name, make in detectors.items():
        length, _ = river_run_length(rng, make, CHANGE.before, verdicts=3_000_000)
        delays = river_delays(rng, make, CHANGE, runs=200, at=AT, cut=20_000).times
        yield Point(pages=PER_BUDGET / length, delay=float(np.where(delays < 0, 20_000, delays).mean()), label=name)


def _x(pages: float) -> float:
    low, high = (log10(each) for each in PAGES)
    return LEFT + (log10(pages) - low) / (high - low) * (WIDTH - LEFT - RIGHT)


def _y(delay: float) -> float:
    low, high = (log10(each) for each in DELAYS)
    return HEIGHT - BOTTOM - (log10(min(delay, DELAYS[1])) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _text(x: float, y: float, text: str, *, anchor: str = "start", fill: str = "#333", size: int = 12) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">{escape(text)}</text>'
    )


def _svg(own: list[Point], best: list[Point], others: list[Point]) -> str:
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" role="img">',
        "<title>Delay of a fall from 0.95 to 0.90 against false pages a month, of each method</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(LEFT, 24, "A pass rate falls from 0.95 to 0.90: lower and further left is better", size=15),
        *_axes(),
        *_line(best, "#888", dashed=True),
        *_line(own, "#0b6e99"),
    ]
    parts += [
        _text(_x(best[-1].pages) - 4, _y(best[-1].delay) + 48, "the best possible, both rates known", fill="#666")
    ]
    for point in own:
        parts.append(f'<circle cx="{_x(point.pages):.0f}" cy="{_y(point.delay):.0f}" r="3" fill="#0b6e99"/>')
        if point.label:
            parts.append(_text(_x(point.pages) - 10, _y(point.delay) - 12, point.label, fill="#0b6e99", size=13))
    for point in others:
        x, y = _x(point.pages), _y(point.delay)
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="#c4552d"/>')
        anchor, right, down = PLACES.get(point.label, ("start", 8, 4))
        if down > 30:
            parts.append(f'<path d="M{x:.0f} {y:.0f}L{x + right - 10:.0f} {y + down - 12:.0f}" stroke="#d9a08c"/>')
        parts.append(_text(x + right, y + down, point.label, anchor=anchor, fill="#8a3a1d"))
    return "\n".join([*parts, "</svg>", ""])


def _axes() -> list[str]:
    parts = []
    for pages in (0.1, 1, 10, 100, 1000):
        x = _x(pages)
        parts.append(f'<path d="M{x:.0f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e5e5e5"/>')
        parts.append(_text(x, HEIGHT - BOTTOM + 18, f"{pages:g}", anchor="middle"))
    for delay in (100, 200, 500, 1000, 2000, 5000, 10_000):
        y = _y(delay)
        parts.append(f'<path d="M{LEFT} {y:.0f}H{WIDTH - RIGHT}" stroke="#e5e5e5"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{delay:,}", anchor="end"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, HEIGHT - 14, "false pages a month, 40 series of 20 verdicts an hour", anchor="middle"))
    turned = f'transform="rotate(-90 14 {HEIGHT / 2:.0f})"'
    label = _text(14, HEIGHT / 2, "verdicts from the change to the alarm, mean", anchor="middle")
    parts.append(label.replace("<text ", f"<text {turned} "))
    return parts


def _line(points: list[Point], colour: str, *, dashed: bool = False) -> list[str]:
    path = "L".join(f"{_x(point.pages):.0f} {_y(point.delay):.0f}" for point in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>']


if __name__ == "__main__":
    main()
