"""Detectors in numpy, many runs at once: the project's own, those it is measured against, and the best possible.

Scores are 0 or 1 here, and times are verdicts. The project's detector is stepped from failure to failure, since it can
raise an alarm at a failure alone; its factors are those of `monitor.stats.sequential`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from monitor.stats.sequential import ODDS_RATIOS, UNIT, factors

SHARE = 1 / len(ODDS_RATIOS)
NEVER = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A pass rate that falls, at once or evenly over `over` verdicts."""

    before: float
    after: float
    over: int = 0

    def __str__(self) -> str:
        """As 0.95 to 0.90."""
        return f"{self.before:.2f} to {self.after:.2f}" + (f" over {self.over}" if self.over else "")

    def rate(self, verdict: int) -> float:
        """The pass rate at this many verdicts after the change began."""
        done = min(1.0, (verdict + 1) / self.over) if self.over else 1.0
        return self.before + done * (self.after - self.before)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delays:
    """Verdicts from the change to the alarm, of runs without an alarm before it."""

    times: np.ndarray
    cut: int | None = None

    def __str__(self) -> str:
        """Mean and 90 % quantile, with > where some runs were cut; or that all runs had an alarm before the change."""
        if not len(self.times):
            return "alarm before it"
        missed = self.times == NEVER
        times = np.where(missed, self.cut or 0, self.times)
        more = ">" if missed.any() else ""
        return f"{more}{times.mean():,.0f} / {np.quantile(times, 0.9):,.0f}"

    @property
    def mean(self) -> float:
        """The mean delay."""
        return float(self.times.mean())


class Stakes:
    """The eight stakes of many runs: `R` has the shape (runs, 8), one unit is put in at each verdict."""

    def __init__(self, reference: float, runs: int) -> None:
        self.at_pass = np.array(factors(reference, reference - 1.0)) / UNIT
        self.at_failure = np.exp(np.array(factors(reference, reference)) / UNIT)
        self.R = np.zeros((runs, len(ODDS_RATIOS)))

    def passes(self, count: np.ndarray) -> None:
        """`count` passes in each run: R <- (R + 1/8) a, so many times."""
        a = np.exp(self.at_pass)
        powers = np.exp(count[:, None] * self.at_pass)
        self.R *= powers
        self.R += SHARE * a / (1 - a) * (1 - powers)

    def failure(self, where: np.ndarray | slice = slice(None)) -> None:
        """One failure."""
        self.R[where] = (self.R[where] + SHARE) * self.at_failure

    def keep(self, which: np.ndarray) -> None:
        """Go on with these runs alone."""
        self.R = self.R[which]


def own_run_length(
    rng: np.random.Generator, reference: float, threshold: float, alarms: int, rate: float | None = None
) -> tuple[float, float]:
    """The mean number of verdicts to a false alarm, and its standard error, from about so many alarms."""
    good = reference if rate is None else rate
    runs = min(1000, alarms)
    stakes = Stakes(reference, runs)
    verdicts = found = 0
    while found < alarms or verdicts < runs * threshold:
        gaps = rng.geometric(1 - good, size=runs)
        stakes.passes(gaps - 1)
        stakes.failure()
        verdicts += int(gaps.sum())
        fired = stakes.R.sum(axis=1) >= threshold
        found += int(fired.sum())
        stakes.R[fired] = 0.0
    return verdicts / found, verdicts / found / found**0.5


def own_delays(rng: np.random.Generator, change: Change, threshold: float, *, runs: int, at: int) -> Delays:
    """The detector's delays after a change at this verdict; at 0 is the worst case, as the stakes are nothing then."""
    stakes = Stakes(change.before, runs)
    left = np.full(runs, at)
    quiet = np.ones(runs, dtype=bool)
    while (left > 0).any():
        gaps = rng.geometric(1 - change.before, size=runs)
        stakes.passes(np.minimum(gaps - 1, left))
        fails = gaps <= left
        stakes.failure(fails)
        left = np.maximum(left - gaps, 0)
        quiet &= stakes.R.sum(axis=1) < threshold
    stakes.keep(quiet)
    if change.over:
        return _drifting(rng, stakes, change, threshold)
    return Delays(times=_times_to_alarm(rng, stakes, change.after, threshold))


def _times_to_alarm(rng: np.random.Generator, stakes: Stakes, rate: float, threshold: float) -> np.ndarray:
    running = np.arange(len(stakes.R))
    times = np.zeros(len(stakes.R))
    while len(running):
        gaps = rng.geometric(1 - rate, size=len(running))
        stakes.passes(gaps - 1)
        stakes.failure()
        times[running] += gaps
        going_on = stakes.R.sum(axis=1) < threshold
        stakes.keep(going_on)
        running = running[going_on]
    return times


def _drifting(rng: np.random.Generator, stakes: Stakes, change: Change, threshold: float) -> Delays:
    running = np.arange(len(stakes.R))
    times = np.zeros(len(stakes.R))
    a = np.exp(stakes.at_pass)
    verdict = 0
    while len(running):
        passed = rng.random(len(running)) < change.rate(verdict)
        stakes.R = (stakes.R + SHARE) * np.where(passed[:, None], a, stakes.at_failure)
        verdict += 1
        going_on = stakes.R.sum(axis=1) < threshold
        times[running[~going_on]] = verdict
        stakes.keep(going_on)
        running = running[going_on]
    return Delays(times=times)


@dataclass(frozen=True, kw_only=True, slots=True)
class Oracle:
    """The CUSUM that knows both rates: no test of its false-alarm rate has a shorter worst delay (Moustakides 1986)."""

    before: float
    after: float
    limit: float

    @property
    def at_pass(self) -> float:
        """What a pass adds, below 0."""
        return float(np.log(self.after / self.before))

    @property
    def at_failure(self) -> float:
        """What a failure adds, above 0."""
        return float(np.log((1 - self.after) / (1 - self.before)))

    def run_length(self, seed: int, cycles: int) -> float:
        """The mean number of verdicts to a false alarm.

        It is the mean length of a cycle, from 0 and back to 0 or to the limit, over the chance that a cycle ends at
        the limit. That chance is small, so it is simulated under the rate after, where it is not, and weighted back:
        the sum itself is the likelihood ratio.
        """
        rng = np.random.default_rng(seed)
        length, _ = self._cycles(rng, self.before, cycles)
        _, ends = self._cycles(rng, self.after, cycles)
        crossed = ends >= self.limit
        chance = float(np.exp(self.at_failure - ends[crossed]).sum()) / cycles
        return (1 / (1 - self.before) + float(length.mean())) / chance

    def _cycles(self, rng: np.random.Generator, rate: float, cycles: int) -> tuple[np.ndarray, np.ndarray]:
        """Lengths after the first failure, and the sums at the ends."""
        sums = np.full(cycles, self.at_failure)
        lengths = np.zeros(cycles)
        running = np.flatnonzero(sums < self.limit)
        while len(running):
            to_zero = np.ceil(sums[running] / -self.at_pass)
            gaps = rng.geometric(1 - rate, size=len(running))
            back = gaps - 1 >= to_zero
            lengths[running] += np.where(back, to_zero, gaps)
            sums[running] = np.where(back, 0.0, sums[running] + (gaps - 1) * self.at_pass + self.at_failure)
            running = running[(sums[running] > 0) & (sums[running] < self.limit)]
        return lengths, sums

    def delays(self, rng: np.random.Generator, *, runs: int, at: int) -> Delays:
        """Its delays after a change at this verdict."""
        sums = np.zeros(runs)
        left = np.full(runs, at)
        quiet = np.ones(runs, dtype=bool)
        while (left > 0).any():
            gaps = rng.geometric(1 - self.before, size=runs)
            fails = gaps <= left
            sums = np.maximum(sums + np.minimum(gaps - 1, left) * self.at_pass, 0.0) + fails * self.at_failure
            left = np.maximum(left - gaps, 0)
            quiet &= sums < self.limit
        sums = sums[quiet]
        running = np.arange(len(sums))
        times = np.zeros(len(sums))
        while len(running):
            gaps = rng.geometric(1 - self.after, size=len(running))
            sums[running] = np.maximum(sums[running] + (gaps - 1) * self.at_pass, 0.0) + self.at_failure
            times[running] += gaps
            running = running[sums[running] < self.limit]
        return Delays(times=times)


def oracle_of(change: Change, run_length: float, *, cycles: int) -> Oracle:
    """The oracle whose mean time to a false alarm is the given one."""
    low, high = 0.5, 30.0
    for _ in range(30):
        middle = (low + high) / 2
        shorter = Oracle(before=change.before, after=change.after, limit=middle).run_length(1, cycles) < run_length
        low, high = (middle, high) if shorter else (low, middle)
    return Oracle(before=change.before, after=change.after, limit=high)


Rule = Callable[[np.random.Generator, np.ndarray], np.ndarray]
"""Scores of the shape (runs, verdicts) in, whether the rule would alarm at each of them out."""


def window_test(reference_rate: float, window: int, z: float) -> Rule:
    """The last `window` verdicts against 1000 earlier ones, at every verdict: a two-sample z-test."""

    def alarms(rng: np.random.Generator, scores: np.ndarray) -> np.ndarray:
        n0 = 1000
        learnt = rng.binomial(n0, reference_rate, size=(len(scores), 1)) / n0
        mean = _window_means(scores, window)
        pooled = (n0 * learnt + window * mean) / (n0 + window)
        spread = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n0 + 1 / window))
        return learnt - mean > z * spread

    return alarms


def threshold_for(limit: float, window: int, held: int) -> Rule:
    """A Prometheus rule: the rate over the last `window` verdicts is below a limit `for:` `held` verdicts."""

    def alarms(_rng: np.random.Generator, scores: np.ndarray) -> np.ndarray:
        below = np.cumsum(_window_means(scores, window) < limit - 1e-9, axis=1, dtype=np.int32)
        out = np.zeros(scores.shape, dtype=bool)
        out[:, held:] = below[:, held:] - below[:, :-held] == held
        return out

    return alarms


def _window_means(scores: np.ndarray, window: int) -> np.ndarray:
    sums = np.cumsum(scores, axis=1, dtype=np.int32)
    means = np.ones(scores.shape)
    means[:, window:] = (sums[:, window:] - sums[:, :-window]) / window
    return means


def rule_run_length(rng: np.random.Generator, rule: Rule, rate: float, *, runs: int, cut: int) -> tuple[float, float]:
    """The mean number of verdicts to the first false alarm, and the share of runs that were cut before it."""
    times = np.concatenate([_first(rule(rng, rng.random((part, cut)) < rate)) for part in _parts(runs, cut)])
    missed = times == NEVER
    return float(np.where(missed, cut, times + 1).mean()), float(missed.mean())


def rule_delays(rng: np.random.Generator, rule: Rule, change: Change, *, runs: int, at: int, cut: int) -> Delays:
    """A rule's delays after a change at this verdict; none where hardly a run comes to it without an alarm."""
    rates = np.array([change.before] * at + [change.rate(verdict) for verdict in range(cut)])
    times = []
    for part in _parts(runs, at + cut):
        fired = rule(rng, rng.random((part, at + cut)) < rates)
        quiet = ~fired[:, :at].any(axis=1)
        times.append(_first(fired[quiet, at:]))
    first = np.concatenate(times)
    if len(first) < runs / 20:
        first = first[:0]
    return Delays(times=np.where(first == NEVER, NEVER, first + 1), cut=cut)


def _parts(runs: int, width: int) -> Iterator[int]:
    size = max(1, 4_000_000 // width)
    while runs > 0:
        yield min(size, runs)
        runs -= size


def _first(fired: np.ndarray) -> np.ndarray:
    return np.where(fired.any(axis=1), fired.argmax(axis=1), NEVER)
