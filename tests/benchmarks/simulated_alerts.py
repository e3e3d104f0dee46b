"""What surrounds the detector: a reference that was learnt, the way back after an alarm, and detectors of `river`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from simulated_detectors import NEVER, SHARE, Change, Delays

from monitor.stats.recovery import advance, begin, recovered
from monitor.stats.reference import Learnt, lower
from monitor.stats.sequential import ODDS_RATIOS, UNIT, factors

MakeRiver = Callable[[], Any]


def learnt_reference(
    rng: np.random.Generator, rate: float, n0: int, *, plain: bool, threshold: float, runs: int, verdicts: int
) -> tuple[float, float]:
    """False alarms per budget of a reference learnt from n0 verdicts, and the mean delay of a drop of 0.10.

    Each run learns its own reference: the plain mean, or the lower bound that the project uses. The delay's change
    comes 500 verdicts after the reference; runs are cut at 60,000, where they count as cut.
    """
    passes = rng.binomial(n0, rate, size=runs)
    reference = {int(s): s / n0 if plain else lower(_counted(int(s), n0), tolerance=0.0) for s in set(passes)}
    at_pass = np.array([factors(reference[s], reference[s] - 1) for s in passes]) / UNIT
    at_failure = np.array([factors(reference[s], reference[s]) for s in passes]) / UNIT
    stakes, found = np.zeros((runs, len(ODDS_RATIOS))), 0
    for _ in range(verdicts):
        passed = (rng.random(runs) < rate)[:, None]
        stakes = (stakes + SHARE) * np.exp(np.where(passed, at_pass, at_failure))
        fired = stakes.sum(axis=1) >= threshold
        found += int(fired.sum())
        stakes[fired] = 0.0
    delay = _delay_after(rng, (at_pass, at_failure), rate, threshold)
    return found / (runs * verdicts / threshold), delay


def _delay_after(
    rng: np.random.Generator, moves: tuple[np.ndarray, np.ndarray], rate: float, threshold: float
) -> float:
    at_pass, at_failure = moves
    stakes = np.zeros(at_pass.shape)
    running, quiet = np.ones(len(stakes), dtype=bool), np.ones(len(stakes), dtype=bool)
    times = np.full(len(stakes), 60_000)
    for verdict in range(-500, 60_000):
        passed = (rng.random(len(stakes)) < (rate if verdict < 0 else rate - 0.10))[:, None]
        stakes = (stakes + SHARE) * np.exp(np.where(passed, at_pass, at_failure))
        fired = running & (stakes.sum(axis=1) >= threshold)
        if verdict < 0:
            quiet &= ~fired
        times[fired] = verdict + 1
        running &= ~fired
        stakes[~running] = 0.0
        if not running.any():
            break
    return float(times[quiet].mean())


def _counted(passes: int, n: int) -> Learnt:
    return Learnt(n=n, verdicts=n, w=float(n), wy=float(passes), w2=float(n), w2y=float(passes), w2y2=float(passes))


def verdicts_to_recover(rng: np.random.Generator, change: Change, tolerance: float, *, runs: int) -> float:
    """The mean number of verdicts from the return of the rate, at the hundredth, to the end of the alert."""
    total = 0
    for _ in range(runs):
        state, seen = begin(change.before, tolerance), 0
        while not recovered(state):
            rate = change.after if seen < 100 else change.before
            state = advance(state, _block(rng, rate))
            seen += 5
        total += seen - 100
    return total / runs


def wrong_recoveries(rng: np.random.Generator, change: Change, tolerance: float, *, runs: int) -> float:
    """Ends of an alert within 5000 verdicts whose rate has not come back; the next begins at once."""
    found = 0
    for _ in range(runs):
        state = begin(change.before, tolerance)
        for _ in range(1000):
            state = advance(state, _block(rng, change.after))
            if recovered(state):
                found += 1
                state = begin(change.before, tolerance)
    return found / runs


def _block(rng: np.random.Generator, rate: float) -> list[tuple[float, float]]:
    return [(1.0, float(passed)) for passed in rng.random(5) < rate]


def river_run_length(rng: np.random.Generator, make: MakeRiver, rate: float, *, verdicts: int) -> tuple[float, int]:
    """The mean number of verdicts to a false alarm of a fall, and how many there were in so many verdicts."""
    detector, found = make(), 0
    for y in (rng.random(verdicts) < rate).tolist():
        if _falls(detector, y):
            found += 1
            detector = make()
    return verdicts / max(1, found), found


def river_delays(rng: np.random.Generator, make: MakeRiver, change: Change, *, runs: int, at: int, cut: int) -> Delays:
    """Its delays after a change at this verdict."""
    rates = np.array([change.before] * at + [change.rate(verdict) for verdict in range(cut)])
    times = []
    for _ in range(runs):
        detector, found = make(), NEVER
        for verdict, y in enumerate((rng.random(at + cut) < rates).tolist(), start=1 - at):
            if _falls(detector, y):
                found = verdict
                break
        if found == NEVER or found > 0:
            times.append(found)
    return Delays(times=np.array(times), cut=cut)


def _falls(detector: Any, y: bool) -> bool:
    """One score more; whether it finds that the mean has fallen. ADWIN also finds rises, which are no alarms."""
    before = getattr(detector, "estimation", None)
    detector.update(float(y))
    return bool(detector.drift_detected) and (before is None or detector.estimation < before)
