"""What judging may cost in a day, for the whole group: reserved before a model is called, settled after.

Production scoring (with the canary) and evaluations have a pot each, so that neither starves the other. A pot that is
empty puts work off and never drops it: verdicts are parked, an evaluation waits for its next time.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Final, Literal, Self

from monitor.clock import Clock
from monitor.errors import MonitorError
from monitor.ledger.rows import SpendRow
from monitor.ledger.spend import Spend
from monitor.settings import PriceSettings, SpendSettings

if TYPE_CHECKING:
    # Whoever only reads what was spent imports no MLflow.
    from scorers.errors import JudgeUnavailable
    from scorers.suite import ScoreOutcome

Purpose = Literal["scoring", "evaluation", "canary"]
Unit = Literal["calls", "dollars"]

DAY_MS: Final = 86_400_000
MICRO: Final = 1_000_000
WARN_AT: Final = 0.8

_POTS: Mapping[Purpose, tuple[Purpose, ...]] = {
    "scoring": ("scoring", "canary"),
    "canary": ("scoring", "canary"),
    "evaluation": ("evaluation",),
}
# Where no versions are compared, judging the frozen sets again is all that is left of the other pot.
_ONE_POT: Mapping[Purpose, tuple[Purpose, ...]] = dict.fromkeys(_POTS, ("scoring", "canary", "evaluation"))
# Before a scorer has answered once its cost is unknown: a long trace and a long rationale.
_FIRST_TOKENS = (16_000, 2_000)
_CANARY_TOKENS = (50, 50)
# The estimate follows the dearest of the last calls: one in a hundred of it is forgotten with each call.
_KEPT = 0.99


class SpendExhausted(MonitorError):
    """The day's spend leaves no room for this now: it is put off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """What was set aside for one use of a model."""

    purpose: Purpose
    scorer: str
    day: int
    calls: int
    microdollars: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a use of a model came to.

    Attributes:
        calls: requests that were sent, those that failed included.
        asked: questions, of which each may have been sent several times; None where that is not known.
        unmetered: those of the calls that may be billed for tokens that are not known; each costs the estimate.
        input_tokens: None where the endpoint reported none; likewise `output_tokens`.
    """

    calls: int
    asked: int | None = None
    unmetered: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None

    @classmethod
    def of(cls, outcome: ScoreOutcome | JudgeUnavailable) -> Self:
        """Of one scorer's word on one trace, or of the try that brought none."""
        return cls(
            calls=outcome.calls,
            asked=outcome.asked,
            unmetered=outcome.unmetered,
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pot:
    """What a day's pot holds and how much of it is gone, in one unit."""

    name: Purpose
    unit: Unit
    limit: float
    spent: float

    @property
    def share(self) -> float:
        """How much of it is gone; 1 where it holds nothing."""
        return self.spent / self.limit if self.limit > 0 else 1.0


class Spending:
    """The group's spend as this process sees it. Threads may share it.

    Args:
        ledger: where it stands.
        settings: the limits.
        models: scorer -> the model that it asks, or would ask if it is code that turns out to ask one.
        clock: whose UTC day it is.
        attempts: how many times a call may be sent, at most.
        evaluates: whether evaluations are configured, which are given their share; else all is one pot.
    """

    def __init__(
        self,
        ledger: Spend,
        settings: SpendSettings,
        models: Mapping[str, str],
        clock: Clock,
        *,
        attempts: int,
        evaluates: bool,
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._models = models
        self._clock = clock
        self._attempts = attempts
        self._share = settings.evaluation_share if evaluates else 0.0
        self._pots = _POTS if evaluates else _ONE_POT
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        self._dearest: dict[str, float] = {}

    def reserve(self, scorer: str, purpose: Purpose = "scoring", *, times: int = 1) -> Reservation:
        """Set aside the most that `times` scores may cost, retries included.

        Raises:
            SpendExhausted: the pot has no room for it today.
            LedgerUnavailable: the ledger does not answer.
        """
        most_calls, most_money = self._limits(purpose)
        if most_calls is None and most_money is None:
            # Nothing can be refused: only what it comes to is written.
            return self.nothing_reserved(scorer, purpose)
        calls, microdollars = self._estimate(scorer, purpose)
        reservation = replace(
            self.nothing_reserved(scorer, purpose), calls=calls * times, microdollars=microdollars * times
        )
        row = SpendRow(
            day=reservation.day, purpose=purpose, calls=reservation.calls, microdollars=reservation.microdollars
        )
        if not self._ledger.reserve(row, self._pots[purpose], calls=most_calls, microdollars=most_money):
            raise SpendExhausted(f"spend.per_day {self._settings.per_day} leaves no room for {purpose} of {scorer}")
        return reservation

    def nothing_reserved(self, scorer: str, purpose: Purpose = "scoring") -> Reservation:
        """What is settled where nothing was set aside before: nobody knew that a model would be asked, say."""
        day = self._clock.now_ms() // DAY_MS
        return Reservation(purpose=purpose, scorer=scorer, day=day, calls=0, microdollars=0)

    def settle(self, reservation: Reservation, usage: Usage) -> float:
        """Put what it came to in the place of what was set aside; returns the dollars, 0 without a known price.

        A call that may be billed for tokens that nobody has told costs what the dearest one did: a limit in money
        would have no end with an endpoint that reports no usage, or answers too late each time.

        Raises:
            LedgerUnavailable: the ledger does not answer; the reservation stays spent.
        """
        scorer = reservation.scorer
        metered = self._price_of(scorer, usage.input_tokens or 0, usage.output_tokens or 0)
        if usage.calls and reservation.purpose == "scoring":
            # An estimate teaches nothing, and of several questions some may have had no answer.
            self._learn(scorer, usage.asked or 1, 0.0 if usage.unmetered else metered)
        dollars = metered + usage.unmetered * self._call_price(scorer, reservation.purpose)
        self._ledger.add(
            SpendRow(
                day=reservation.day,
                purpose=reservation.purpose,
                calls=usage.calls - reservation.calls,
                microdollars=ceil(dollars * MICRO) - reservation.microdollars,
            )
        )
        return dollars

    def reserve_evaluation(self, scorers: Collection[str], judgements: int) -> list[Reservation]:
        """Set aside the most that so many judgements by each of these scorers may cost: all of it, or nothing.

        Args:
            scorers: those that ask a model.
            judgements: answers, times the repeats of each.

        Raises:
            SpendExhausted: the pot has no room for it today.
            LedgerUnavailable: the ledger does not answer.
        """
        made: list[Reservation] = []
        try:
            for scorer in sorted(scorers):
                made += [self.reserve(scorer, "evaluation", times=judgements)]
        except SpendExhausted:
            self.settle_evaluation(made, {})
            raise
        return made

    def settle_evaluation(self, reservations: Sequence[Reservation], usages: Mapping[str, Usage]) -> None:
        """Put what each model was used for in the place of what was set aside.

        Raises:
            LedgerUnavailable: the ledger does not answer; the reservations stay spent.
        """
        dollars = sum(
            _cost(self._settings.prices.get(model), usage.input_tokens or 0, usage.output_tokens or 0)
            + usage.unmetered * self._dearest_of(model)
            for model, usage in usages.items()
        )
        self._ledger.add(
            SpendRow(
                # Code may have asked a model that no reservation was made for.
                day=reservations[0].day if reservations else self._clock.now_ms() // DAY_MS,
                purpose="evaluation",
                calls=sum(usage.calls for usage in usages.values()) - sum(each.calls for each in reservations),
                microdollars=ceil(dollars * MICRO) - sum(each.microdollars for each in reservations),
            )
        )

    def pots(self) -> list[Pot]:
        """The pots of today that have a limit.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        spent = {row.purpose: row for row in self._ledger.of_day(self._clock.now_ms() // DAY_MS)}
        found = []
        names: tuple[Purpose, ...] = ("scoring", "evaluation") if self._share else ("scoring",)
        for name in names:
            rows = [spent[each] for each in self._pots[name] if each in spent]
            calls, money = self._limits(name)
            if calls is not None:
                found.append(Pot(name=name, unit="calls", limit=calls, spent=sum(row.calls for row in rows)))
            if money is not None:
                used = sum(row.microdollars for row in rows) / MICRO
                found.append(Pot(name=name, unit="dollars", limit=money / MICRO, spent=used))
        return found

    def _limits(self, purpose: Purpose) -> tuple[int | None, int | None]:
        """Calls and millionths of a dollar that the purpose's pot holds, None without a limit."""
        limit = self._settings.limit
        if limit is None:
            return None, None
        has_its_own = purpose == "evaluation" and self._pots is _POTS
        amount = limit.amount * (self._share if has_its_own else 1 - self._share)
        return (int(amount), None) if limit.unit == "calls" else (None, int(amount * MICRO))

    def _estimate(self, scorer: str, purpose: Purpose) -> tuple[int, int]:
        price = self._call_price(scorer, purpose)
        if purpose == "canary":
            return 1, ceil(price * MICRO)
        with self._lock:
            calls = ceil(max(1.0, self._asked.get(scorer, 1.0))) * self._attempts
        return calls, ceil(price * calls * MICRO)

    def _call_price(self, scorer: str, purpose: Purpose) -> float:
        """What one call is taken to cost before its tokens are known, or where they never will be."""
        if purpose == "canary":
            return self._price_of(scorer, *_CANARY_TOKENS)
        with self._lock:
            return self._dearest.get(scorer, self._price_of(scorer, *_FIRST_TOKENS))

    def _dearest_of(self, model: str) -> float:
        with self._lock:
            seen = [dollars for scorer, dollars in self._dearest.items() if self._models.get(scorer) == model]
        return max(seen, default=_cost(self._settings.prices.get(model), *_FIRST_TOKENS))

    def _learn(self, scorer: str, asked: int, dollars: float) -> None:
        with self._lock:
            self._asked[scorer] = max(float(asked), self._asked.get(scorer, 1.0) * _KEPT)
            if dollars > 0:
                self._dearest[scorer] = max(dollars / asked, self._dearest.get(scorer, 0.0) * _KEPT)

    def _price_of(self, scorer: str, read: int, written: int) -> float:
        return _cost(self._settings.prices.get(self._models.get(scorer, "")), read, written)


def _cost(price: PriceSettings | None, read: int, written: int) -> float:
    return 0.0 if price is None else (read * price.input + written * price.output) / MICRO


def exhausted(pots: list[Pot]) -> list[Pot]:
    """The pots of which at least 80 % are gone, the emptiest first."""
    return sorted((pot for pot in pots if pot.share >= WARN_AT), key=lambda pot: -pot.share)
