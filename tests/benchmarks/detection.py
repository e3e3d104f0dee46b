"""False alarms and delays of online detection beside other methods: `python tests/benchmarks/detection.py [--quick]`.

Everything is simulated with fixed seeds. Times are verdicts. Delays are "mean / 90 % quantile" over runs that had no
alarm before the change; > says that some runs were cut. "pages a month" is what 40 series of 20 verdicts an hour would
page in 30 days while all is well.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import log
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from simulated_alerts import (
    MakeRiver,
    learnt_reference,
    river_delays,
    river_run_length,
    verdicts_to_recover,
    wrong_recoveries,
)
from simulated_detectors import (
    Change,
    Rule,
    oracle_of,
    own_delays,
    own_run_length,
    rule_delays,
    rule_run_length,
    threshold_for,
    window_test,
)
from simulated_traffic import (
    SHOP,
    Fleet,
    SampledBets,
    fleet_false_alarms,
    session_false_alarms,
    wobbling_false_alarms,
)

from monitor.stats.detectable import detectable_drop

SERIES = 40
PER_HOUR = 20
BUDGET_DAYS = 30
PER_BUDGET = BUDGET_DAYS * 24 * PER_HOUR * SERIES
"""Verdicts of one series to one false alarm of it, where 40 share one in 30 days."""

CHANGES = (
    Change(before=0.95, after=0.90),
    Change(before=0.90, after=0.80),
    Change(before=0.90, after=0.60),
    Change(before=0.99, after=0.97),
)
DRIFTS = (Change(before=0.95, after=0.85, over=1000), Change(before=0.95, after=0.85, over=5000))
AT = 1000

# Page-Hinkley's threshold that gives about one false alarm in 10,000 verdicts at this rate, found by simulation.
TUNED_PAGE_HINKLEY = {0.95: 16.1, 0.90: 23.0, 0.99: 5.5}


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How much is simulated."""

    alarms: int
    runs: int
    cycles: int
    others: int
    river: int
    copies: int


FULL = Size(alarms=1600, runs=20_000, cycles=100_000, others=400, river=1_000_000, copies=100)
QUICK = Size(alarms=150, runs=2_000, cycles=20_000, others=60, river=100_000, copies=6)


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs: coarse figures within a minute")
    size = QUICK if parser.parse_args().quick else FULL
    sections: tuple[Callable[[np.random.Generator, Size], None], ...] = (
        changes, drifts, within_a_day, sampled, learnt, fleets, dependence, recovery,
    )  # fmt: skip
    for number, section in enumerate(sections):
        section(np.random.default_rng(number), size)


def title(text: str) -> None:
    """A heading."""
    print(f"\n== {text}", flush=True)


def row(name: str, *cells: object) -> None:
    """A line of a table."""
    print(f"{name:<48}" + "".join(f"{each!s:>23}" for each in cells).rstrip(), flush=True)


def changes(rng: np.random.Generator, size: Size) -> None:
    """Every method at every change, and how far the detector is from the best possible."""
    for change in CHANGES:
        title(f"pass rate {change}")
        row("method", "false alarm every", "pages a month", "change at 1000", "change at 0", "worst / oracle's")
        kl = _divergence(change)
        for threshold, name in ((PER_BUDGET, "40 series, 1 in 30 days"), (10_000, "1 in 10,000 verdicts")):
            _own_and_oracle(rng, size, change, threshold, name, kl)
        for name, rule in _rules(change):
            _rule(rng, size, change, name, rule)
        for name, make in _rivers(change.before):
            _river(rng, size, change, name, make)


def _own_and_oracle(
    rng: np.random.Generator, size: Size, change: Change, threshold: float, name: str, kl: float
) -> None:
    length, error = own_run_length(rng, change.before, threshold, size.alarms)
    late = own_delays(rng, change, threshold, runs=size.runs, at=AT)
    worst = own_delays(rng, change, threshold, runs=size.runs, at=0)
    oracle = oracle_of(change, length, cycles=size.cycles)
    best_late, best = (oracle.delays(rng, runs=size.runs, at=at) for at in (AT, 0))
    ratio = f"{worst.mean / best.mean:.2f}"
    row(f"Tracewatch, {name}", f"{length:,.0f} ±{error / length:.0%}", _pages(length), late, worst, ratio)
    row("  CUSUM that knows both rates", f"{oracle.run_length(2, size.cycles):,.0f}", "", best_late, best, "1")
    row("  log(run length) / KL", "", "", "", f"{log(length) / kl:,.0f}")


def _rules(change: Change) -> Iterable[tuple[str, Rule]]:
    half_way = (change.before + change.after) / 2
    yield "window of 200, z > 1.645", window_test(change.before, 200, 1.645)
    yield "window of 200, z > 2.326", window_test(change.before, 200, 2.326)
    yield "window of 50, z > 2.326", window_test(change.before, 50, 2.326)
    yield f"Prometheus: 1 h below {half_way:.3f} for 15 min", threshold_for(half_way, 20, 5)
    yield f"Prometheus: 6 h below {half_way:.3f} for 1 h", threshold_for(half_way, 120, 20)
    yield f"Prometheus: 24 h below {half_way:.3f} for 1 h", threshold_for(half_way, 480, 20)


def _rule(rng: np.random.Generator, size: Size, change: Change, name: str, rule: Rule) -> None:
    length, cut = rule_run_length(rng, rule, change.before, runs=size.others, cut=100_000)
    late = rule_delays(rng, rule, change, runs=10 * size.others, at=AT, cut=5_000)
    shown = f"{'>' if cut else ''}{length:,.0f}"
    row(name, shown, _pages(length, most=bool(cut)), late, "")


def _rivers(rate: float) -> Iterable[tuple[str, MakeRiver]]:
    try:
        from river.drift import ADWIN, PageHinkley
    except ImportError as error:
        print(f"ADWIN and Page-Hinkley are left out: {error}")
        return
    tuned = TUNED_PAGE_HINKLEY[rate]
    yield "Page-Hinkley of river, default", lambda: PageHinkley(mode="down")
    yield f"Page-Hinkley of river, tuned ({tuned})", lambda: PageHinkley(mode="down", threshold=tuned)
    yield "ADWIN of river, default", ADWIN
    yield "ADWIN of river, delta 0.6", lambda: ADWIN(delta=0.6)


def _river(rng: np.random.Generator, size: Size, change: Change, name: str, make: MakeRiver) -> None:
    length, found = river_run_length(rng, make, change.before, verdicts=size.river)
    late = river_delays(rng, make, change, runs=size.others // 2, at=AT, cut=20_000)
    rare = found < 10
    row(name, f"{'>' if rare else ''}{length:,.0f}", _pages(length, most=rare), late, "")


def _pages(run_length: float, *, most: bool = False) -> str:
    return f"{'<' if most else ''}{PER_BUDGET / run_length:,.2f}"


def _divergence(change: Change) -> float:
    p, q = change.after, change.before
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))


def drifts(rng: np.random.Generator, size: Size) -> None:
    """A rate that falls slowly: from the first verdict of its fall."""
    title("slow drift, from verdict 1000")
    row("method", *DRIFTS)
    for threshold, name in ((PER_BUDGET, "40 series, 1 in 30 days"), (10_000, "1 in 10,000 verdicts")):
        found = [own_delays(rng, each, threshold, runs=size.runs // 4, at=AT) for each in DRIFTS]
        row(f"Tracewatch, {name}", *found)
    for name, rule in list(_rules(Change(before=0.95, after=0.85)))[1:]:
        row(name, *(rule_delays(rng, rule, each, runs=2 * size.others, at=AT, cut=8_000) for each in DRIFTS))
    for name, make in _rivers(0.95):
        row(name, *(river_delays(rng, make, each, runs=size.others // 4, at=AT, cut=20_000) for each in DRIFTS))


def within_a_day(rng: np.random.Generator, size: Size) -> None:
    """What is told to be detectable within a day, and how much of it is noticed."""
    title("detectable within a day, at the threshold of 40 series")
    row("reference, verdicts a day", "told drop", "noticed in a day", "half the drop noticed", "mean delay in days")
    for reference in (0.95, 0.90, 0.80):
        for per_day in (120, 480, 2400, 24_000):
            threshold = BUDGET_DAYS * SERIES * per_day
            drop = detectable_drop(
                reference, bets_per_day=per_day, threshold=threshold, mean_weight=1.0, mean_square_weight=1.0
            )
            if drop is None:
                row(f"{reference:.2f}, {per_day:,}", "none")
                continue
            whole, half = (
                own_delays(rng, Change(before=reference, after=reference - part), threshold, runs=size.runs // 20, at=0)
                for part in (drop, drop / 2)
            )
            noticed = [f"{(each.times <= per_day).mean():.0%}" for each in (whole, half)]
            row(f"{reference:.2f}, {per_day:,}", f"{drop:.3f}", *noticed, f"{whole.mean / per_day:.2f}")


def sampled(rng: np.random.Generator, size: Size) -> None:
    """Requests kept with unequal probability: 90 % of them at 0.1, slow ones at 0.5, errors at 1."""
    title("sampled traffic, at 1 in 10,000 verdicts: false alarms per budget; requests to an alarm, change at 0")
    row("bets", "false alarms", "0.97 to 0.92", "to 0.87", "to 0.77", "only the mix moves")
    kinds = {
        "without weights": SampledBets(SHOP, weighted=False),
        "weighted": SampledBets(SHOP),
        "weighted, a reference for each stratum": SampledBets(SHOP, own_references=True),
    }
    moved = (replace(SHOP[0], share=0.80), replace(SHOP[1], share=0.16), replace(SHOP[2], share=0.04))
    for name, bets in kinds.items():
        alarms = bets.false_alarms(rng, SHOP, 10_000, runs=size.others, verdicts=40_000)
        fallen = ((replace(SHOP[0], rate=rate), *SHOP[1:]) for rate in (0.92, 0.87, 0.77))
        delays = [f"{bets.delay(rng, each, 10_000, runs=size.runs // 4):,.0f}" for each in fallen]
        mix = bets.false_alarms(rng, moved, 10_000, runs=size.others, verdicts=10_000)
        row(name, f"{alarms:.2f}", *delays, f"{mix:.2f}")


def learnt(rng: np.random.Generator, size: Size) -> None:
    """A reference that is not given but learnt."""
    title("learnt reference, at 1 in 10,000 verdicts: false alarms per budget / mean delay of a drop of 0.10")
    row("rate, verdicts learnt from", "plain mean", "lower bound")
    for rate in (0.95, 0.80):
        for n0 in (300, 1000, 3000):
            cells = [
                learnt_reference(rng, rate, n0, plain=plain, threshold=10_000, runs=3 * size.others, verdicts=20_000)
                for plain in (True, False)
            ]
            row(f"{rate:.2f}, {n0}", *(f"{alarms:.2f} / {delay:,.0f}" for alarms, delay in cells))


def fleets(rng: np.random.Generator, size: Size) -> None:
    """A hundred series that share a budget by the clock, closed in blocks."""
    title("100 series of 14.4 verdicts an hour, rates 0.80 to 0.99: false alarms in 30 days, wanted at most 1")
    references = tuple(np.linspace(0.80, 0.99, 100).tolist())
    for name, minutes, together, copies, days in (
        ("blocks of a minute, independent series", 1, 1, size.copies, 30),
        ("blocks of an hour, independent series", 60, 1, 4 * size.copies, 60),
        ("blocks of an hour, ten series share all luck", 60, 10, 4 * size.copies, 60),
    ):
        fleet = Fleet(references=references, per_hour=14.44, minutes=minutes, together=together)
        mean, error = fleet_false_alarms(rng, fleet, days=days, budget_days=30, copies=copies)
        row(name, f"{mean:.2f} ±{error:.2f}")


def dependence(rng: np.random.Generator, size: Size) -> None:
    """Where verdicts are not independent: sessions, and a rate that truly moves."""
    title("dependence: false alarms per budget, wanted at most 1")
    row("rate, what is shared", "a bet a verdict", "a bet a group")
    for rate in (0.95, 0.80):
        for correlation in (0.05, 0.17, 0.33):
            cells = session_false_alarms(rng, rate, correlation, threshold=10_000, runs=size.others, sessions=8_000)
            row(f"{rate:.2f}, sessions of 5, correlation {correlation}", *(f"{each:.2f}" for each in cells))
        cells = wobbling_false_alarms(rng, rate, threshold=PER_BUDGET, runs=3 * size.others, hours=8_000)
        row(f"{rate:.2f}, bad hours, the mean kept", *(f"{each:.2f}" for each in cells))


def recovery(rng: np.random.Generator, size: Size) -> None:
    """The way back."""
    title("recovery: ends of the alert per 5000 verdicts that are still bad; verdicts from the return to the end")
    for change, tolerance in (
        (Change(before=0.95, after=0.90), 0.025),
        (Change(before=0.95, after=0.85), 0.025),
        (Change(before=0.95, after=0.75), 0.025),
        (Change(before=0.80, after=0.75), 0.05),
        (Change(before=0.80, after=0.70), 0.05),
        (Change(before=0.80, after=0.60), 0.05),
    ):
        wrong = wrong_recoveries(rng, change, tolerance, runs=size.others // 2)
        back = verdicts_to_recover(rng, change, tolerance, runs=size.others)
        row(f"{change}, smallest drop of interest {tolerance}", f"{wrong:.2f}", f"{back:,.0f}")


if __name__ == "__main__":
    main()
