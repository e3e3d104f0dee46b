"""A series and its sequential test: what one closed block makes of it. Pure: the same blocks give the same state.

A series learns its reference or is given it, is watched, and has regressed until it has recovered. Its state does not
grow, and comes back from JSON bit for bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any, Final, Literal, Self

from monitor.stats.confidence import WindowSums
from monitor.stats.recovery import Recovery, begin, recovered
from monitor.stats.recovery import advance as advance_recovery
from monitor.stats.reference import Learnt, lower
from monitor.stats.sequential import NO_EVIDENCE, NO_FACTORS, Evidence, added, advance, factors, onset, strength

Phase = Literal["learning", "watching", "regressed"]
Source = Literal["target", "baseline", "learned"]

SHOWN_FROM: Final = 50
"""A window is shown from this many verdicts on; until then the one before it."""

_FEWEST_BETS: Final = 30
"""From fewer the variance between them is not known, however many verdicts they are."""

_NOTHING_SEEN: Final = WindowSums()
_NOTHING_LEARNT: Final = Learnt()


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One verdict as its series takes it in.

    Attributes:
        weight: smallest inclusion probability that the configuration allows, by the verdict's own; in (0, 1].
        passed: whether it passes.
        measure: what is bet on, 0 to 1: 1 and 0 for pass and fail, or the score of a scorer that gives numbers.
        reference: that of its stratum, None for the series' own.
        teaches: whether a reference may be learnt from it.
        bets: whether it is bet on; not where other strata are held against their own and this one's is not known.
    """

    weight: float
    passed: bool
    measure: float
    reference: float | None = None
    teaches: bool = True
    bets: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Bet:
    """Verdicts that are one bet: one verdict, a session, or a stretch of time. An old one counts and bets nothing."""

    scores: Sequence[Score]
    old: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What does not change from block to block. `threshold` is in hours of the clock of deposits, `window_ms` in ms."""

    source: Source
    target: float | None
    reference_verdicts: int
    tolerance: float
    smallest_drop: float
    threshold: float
    window_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """When a series was found to have fallen: the block, and since when by the test's own account, both in ms."""

    at_ms: int
    onset_ms: int
    verdicts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The sums of one tumbling window of event time, by its number since the epoch, and of how many bets they are."""

    number: int
    sums: WindowSums
    bets: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesState:
    """All that a series knows.

    Attributes:
        phase: learning its reference, watching, or regressed.
        reference: what it is held against; None while it learns.
        learnt: what the reference is learnt from.
        evidence: of the test while it watches.
        recovery: of the test upwards while it has regressed.
        alarm: the one that stands.
        deposited: reading of the clock of deposits, in hours, at the last bet.
        window: of the newest verdict, and the one right before it.
        alarms: how often it has regressed.
        held_to: what the configuration said that it is held to when it began: source, measure and unit.
        anew_ms: the block since which its scorer is another one than before; None where it has always been this one.
        known_ms: since when a learnt reference is known; None for any other, or one learnt by an earlier release.
    """

    phase: Phase = "learning"
    reference: float | None = None
    learnt: Learnt = _NOTHING_LEARNT
    evidence: Evidence = NO_EVIDENCE
    recovery: Recovery | None = None
    alarm: Alarm | None = None
    deposited: float = 0.0
    window: Window | None = None
    window_before: Window | None = None
    alarms: int = 0
    held_to: str | None = None
    anew_ms: int | None = None
    known_ms: int | None = None

    @property
    def watched(self) -> bool:
        """Whether it has a reference, and with it a share in the budget of false alarms."""
        return self.reference is not None

    @property
    def shown(self) -> WindowSums:
        """The window to show."""
        window, before = self.window, self.window_before
        if window is None:
            return _NOTHING_SEEN
        # One from before a gap, as an earlier release kept it, is of another time.
        if before is None or before.number != window.number - 1 or window.sums.n >= SHOWN_FROM:
            return window.sums
        return before.sums

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return {
            "phase": self.phase,
            "reference": self.reference,
            "learnt": self.learnt.as_json(),
            "evidence": self.evidence.as_json(),
            "recovery": None if self.recovery is None else self.recovery.as_json(),
            "alarm": None
            if self.alarm is None
            else {"at_ms": self.alarm.at_ms, "onset_ms": self.alarm.onset_ms, "verdicts": self.alarm.verdicts},
            "deposited": self.deposited,
            "window": _window_json(self.window),
            "window_before": _window_json(self.window_before),
            "alarms": self.alarms,
            "held_to": self.held_to,
            "anew_ms": self.anew_ms,
            "known_ms": self.known_ms,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Self:
        """From the ledger."""
        return cls(
            phase=value["phase"],
            reference=value["reference"],
            learnt=Learnt.of_json(value["learnt"]),
            evidence=Evidence.of_json(value["evidence"]),
            recovery=None if value["recovery"] is None else Recovery.of_json(value["recovery"]),
            alarm=None if value["alarm"] is None else Alarm(**value["alarm"]),
            deposited=value["deposited"],
            window=_window_of(value["window"]),
            window_before=_window_of(value["window_before"]),
            alarms=value["alarms"],
            # Earlier releases did not write these.
            held_to=value.get("held_to"),
            anew_ms=value.get("anew_ms"),
            known_ms=value.get("known_ms"),
        )


def new_series(policy: Policy, bet_on: str, *, inherited: float | None, deposited: float) -> SeriesState:
    """A series that begins: with its target, with the reference that it inherits, or with one to learn.

    Args:
        policy: what holds for the scorer.
        bet_on: the measure, and what is one bet.
        inherited: the reference of `all`, for the value of a segment that is a part of the same traffic.
        deposited: reading of the clock of deposits at the beginning.
    """
    reference = policy.target if policy.source == "target" else inherited
    phase: Phase = "learning" if reference is None else "watching"
    return SeriesState(phase=phase, reference=reference, deposited=deposited, held_to=_held_to(policy, bet_on))


def retargeted(state: SeriesState, policy: Policy, bet_on: str) -> SeriesState:
    """The state after the configuration holds it to something else; the same state where it does not.

    The test begins anew: with the new target, or by learning where there is none any more or something else is bet on.
    """
    held_to = _held_to(policy, bet_on)
    is_new_target = policy.source == "target" and policy.target != state.reference
    if state.held_to in {None, held_to} and not is_new_target:
        return state if state.held_to is not None else replace(state, held_to=held_to)
    reference = policy.target if policy.source == "target" else None
    return replace(
        state,
        phase="learning" if reference is None else "watching",
        reference=reference,
        learnt=_NOTHING_LEARNT,
        evidence=NO_EVIDENCE,
        recovery=None,
        alarm=None,
        held_to=held_to,
        known_ms=None,
    )


def _held_to(policy: Policy, bet_on: str) -> str:
    return f"{policy.source} {bet_on}"


def closed(
    state: SeriesState,
    policy: Policy,
    bets: Sequence[Bet],
    *,
    began_ms: int,
    at_ms: int,
    clock: float,
    most_deposit: float,
) -> SeriesState:
    """The state after a block.

    Args:
        state: before it.
        policy: what holds for the scorer.
        bets: of the block, in an order that depends on nothing but their verdicts.
        began_ms: the beginning of the block, ms since the epoch.
        at_ms: its end.
        clock: reading of the clock of deposits at the end of the block, in hours.
        most_deposit: the most that one bet may deposit, in hours.
    """
    state = _seen(state, policy, bets, at_ms)
    if state.phase == "learning":
        return _learnt(state, policy, bets, at_ms=at_ms, clock=clock)
    present = [bet for bet in bets if not bet.old and bet.scores]
    if state.phase == "regressed":
        return _recovering(state, present, clock) if present else state
    betting = [[score for score in bet.scores if score.bets] for bet in present]
    betting = [scores for scores in betting if scores]
    if not betting:
        return state
    deposit = max(0.0, min(clock - state.deposited, most_deposit))
    state = replace(state, deposited=clock)
    return _watched(state, policy, betting, began_ms=began_ms, at_ms=at_ms, deposit=deposit)


def _seen(state: SeriesState, policy: Policy, bets: Sequence[Bet], at_ms: int) -> SeriesState:
    number = (at_ms - 1) // policy.window_ms
    window, before = state.window, state.window_before
    if window is None or number > window.number:
        # After a gap the older one is no 'before': what it says is of another time.
        before = window if window is not None and window.number == number - 1 else None
        window = Window(number=number, sums=_NOTHING_SEEN)
    sums = window.sums
    for bet in bets:
        for score in bet.scores:
            sums = sums.seen(score.weight, float(score.passed))
    made = window.bets + sum(1 for bet in bets if not bet.old and any(score.bets for score in bet.scores))
    return replace(state, window=replace(window, sums=sums, bets=made), window_before=before)


def _learnt(state: SeriesState, policy: Policy, bets: Sequence[Bet], *, at_ms: int, clock: float) -> SeriesState:
    learnt = state.learnt
    for bet in bets:
        # As it will be bet: where sessions differ in length, the rate of all verdicts is not what a session comes to.
        teaching = [score for score in bet.scores if score.teaches]
        if teaching:
            learnt = learnt.seen(*_mean(teaching), len(teaching))
    if learnt.verdicts < policy.reference_verdicts or learnt.n < _FEWEST_BETS:
        return replace(state, learnt=learnt)
    reference = lower(learnt, tolerance=policy.tolerance)
    return replace(state, phase="watching", learnt=learnt, reference=reference, deposited=clock, known_ms=at_ms)


def _watched(
    state: SeriesState, policy: Policy, bets: Sequence[Sequence[Score]], *, began_ms: int, at_ms: int, deposit: float
) -> SeriesState:
    reference = _reference(state)
    moved, verdicts, failures = NO_FACTORS, 0, 0.0
    for scores in bets:
        size, lowest = _stake(scores, reference)
        moved = added(moved, factors(reference, size, lowest=lowest))
        verdicts += len(scores)
        failures += fsum(1 - score.measure for score in scores)
    evidence = advance(state.evidence, moved, deposit=deposit, at_ms=began_ms, verdicts=verdicts, failures=failures)
    if strength(evidence, policy.threshold) < 1:
        return replace(state, evidence=evidence)
    began = onset(evidence)
    since_ms = began_ms if began.since_ms is None else began.since_ms
    alarm = Alarm(at_ms=at_ms, onset_ms=since_ms, verdicts=began.verdicts)
    return replace(
        state,
        phase="regressed",
        evidence=NO_EVIDENCE,
        recovery=begin(reference, policy.smallest_drop),
        alarm=alarm,
        alarms=state.alarms + 1,
    )


def _recovering(state: SeriesState, bets: Sequence[Bet], clock: float) -> SeriesState:
    recovery = state.recovery
    if recovery is None:
        raise ValueError("a series that has regressed has a test of its recovery")
    recovery = advance_recovery(recovery, [_mean(bet.scores) for bet in bets])
    if not recovered(recovery):
        return replace(state, recovery=recovery)
    # The time of the regression is no deposit: the test was paused.
    return replace(state, phase="watching", recovery=None, alarm=None, evidence=NO_EVIDENCE, deposited=clock)


def _stake(scores: Sequence[Score], reference: float) -> tuple[float, float]:
    """The size of a bet, and what it would be had every verdict passed.

    The mean of w * (p - y) over the bet's verdicts, p the reference of the verdict's own stratum.
    """
    own = [(reference if score.reference is None else score.reference, score) for score in scores]
    size = fsum(score.weight * (p - score.measure) for p, score in own) / len(own)
    lowest = fsum(score.weight * (p - 1) for p, score in own) / len(own)
    return size, lowest


def _mean(scores: Sequence[Score]) -> tuple[float, float]:
    """(weight, measure) of a bet: a single verdict's own, else the mean weight and the weighted mean."""
    if len(scores) == 1:
        return scores[0].weight, scores[0].measure
    weight = fsum(score.weight for score in scores)
    return weight / len(scores), fsum(score.weight * score.measure for score in scores) / weight


def _reference(state: SeriesState) -> float:
    if state.reference is None:
        raise ValueError("a series that is watched has a reference")
    return state.reference


def _window_json(window: Window | None) -> dict[str, Any] | None:
    return None if window is None else {"number": window.number, "sums": window.sums.as_json(), "bets": window.bets}


def _window_of(value: Mapping[str, Any] | None) -> Window | None:
    if value is None:
        return None
    sums = WindowSums.of_json(value["sums"])
    # An earlier release did not count bets: most are of one verdict.
    return Window(number=value["number"], sums=sums, bets=value.get("bets", sums.n))
