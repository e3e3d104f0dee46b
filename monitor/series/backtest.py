"""What the alert settings would have done with the verdicts of the past. Pure but for the pages that it is given.

The same book as the daemon's takes in the same blocks. A verdict that was judged long after its trace bets nothing, as
it did then.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import floor
from typing import Final

from monitor.alerts.kinds import Severity
from monitor.ledger.rows import JudgedVerdict
from monitor.series.blindness import Sight
from monitor.series.book import Book
from monitor.series.findings import is_gone, part_of
from monitor.series.units import Group, SeriesBet, Units, counts, in_ms
from monitor.series.watched import Key, WatchedScorer
from monitor.stats.reference import Learnt, lower
from monitor.stats.settings import SessionSettings, StatisticsSettings

MONTH_MS: Final = 30 * 86_400_000
SUGGESTED_BELOW: Final = (0.0, 0.01, 0.02, 0.05)
"""How far below what the past proves the suggested targets lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastAlert:
    """A regression that would have fired. Times are ms; `resolved_ms` is None where it would still stand.

    `told` is false for a segment's that is a part of the one of `all`, which tells of it; `severity` is what it would
    have been worth, `none` where it is not told.
    """

    scorer: str
    segment: str
    onset_ms: int
    fired_ms: int
    resolved_ms: int | None
    reference: float
    told: bool
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A target, how it compares to the past's pass rate with its bounds, and the pages and tickets it would have cost.

    A scorer whose alerts are tickets at most never costs a page.
    """

    scorer: str
    target: float
    rate: float
    lower: float
    verdicts: int
    pages_a_month: float
    tickets_a_month: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """How verdicts of the past would have been looked at; `severities` are what a fall of each scorer is worth."""

    settings: StatisticsSettings
    sessions: SessionSettings
    max_age: timedelta
    sight: Sight
    severities: Mapping[str, Severity]

    def alerts(self, pages: Iterable[Sequence[JudgedVerdict]], scorers: Mapping[str, WatchedScorer]) -> list[PastAlert]:
        """The alerts that would have fired, in their order; the verdicts come by event time, a page at a time."""
        return _Replay(self, scorers).run(pages)


class _Replay:
    def __init__(self, past: Past, scorers: Mapping[str, WatchedScorer]) -> None:
        self._units = Units(
            scorers=scorers,
            quiet_ms=in_ms(past.sessions.quiet),
            longest_ms=in_ms(past.sessions.longest),
            unit_block_ms=in_ms(past.settings.unit_block),
        )
        self._book = Book({}, None, scorers, past.settings)
        self._sight = past.sight
        self._severities = past.severities
        self._block_ms = in_ms(past.settings.block)
        self._late_ms = in_ms(past.max_age + past.settings.close_after)
        # Bets of more than one verdict are complete only some time after the last of them.
        units = {each.unit for each in scorers.values()}
        self._slack_ms = max((self._units.quiet_ms, self._units.unit_block_ms)) if units - {"verdict"} else 0
        self._open: dict[Key, PastAlert] = {}
        self._found: list[PastAlert] = []

    def run(self, pages: Iterable[Sequence[JudgedVerdict]]) -> list[PastAlert]:
        waiting: list[JudgedVerdict] = []
        for page in pages:
            waiting += page
            waiting = self._close(waiting, page[-1].event_time_ms - self._slack_ms)
        self._close(waiting, None)
        return sorted([*self._found, *self._open.values()], key=lambda each: (each.fired_ms, each.scorer, each.segment))

    def _close(self, waiting: Sequence[JudgedVerdict], until_ms: int | None) -> list[JudgedVerdict]:
        """Close the blocks that end by then (all if None); returns what is left."""
        groups = self._units.groups(waiting)
        for end_ms, ready in _blocks(groups, self._block_ms, until_ms):
            bets = self._units.bets(ready, 0)
            change = self._book.close({key: [self._aged(bet) for bet in found] for key, found in bets.items()}, end_ms)
            for key in change.retired:
                self._end(key, end_ms)
            for row in change.series:
                self._follow((row.scorer, row.segment), end_ms)
            for key in [key for key in self._open if is_gone(key, self._book.rows, self._book.states, self._sight)]:
                self._end(key, end_ms)
            groups = groups[len(ready) :]
        left = {(each.trace_id, each.scorer) for group in groups for each in group.verdicts}
        return [each for each in waiting if (each.trace_id, each.scorer) in left]

    def _aged(self, bet: SeriesBet) -> SeriesBet:
        late = all(
            isinstance(each, JudgedVerdict) and each.judged_at_ms - each.event_time_ms > self._late_ms
            for each in bet.verdicts
        )
        return replace(bet, old=late)

    def _follow(self, key: Key, end_ms: int) -> None:
        state = self._book.states[key]
        stands = self._open.get(key)
        if state.alarm is not None and state.reference is not None and stands is None:
            told = part_of(key, self._book.states) is None
            self._open[key] = PastAlert(
                scorer=key[0],
                segment=key[1],
                onset_ms=state.alarm.onset_ms,
                fired_ms=end_ms,
                resolved_ms=None,
                reference=state.reference,
                told=told,
                severity=self._severities[key[0]] if told else "none",
            )
        elif state.alarm is None:
            self._end(key, end_ms)

    def _end(self, key: Key, at_ms: int) -> None:
        if (stands := self._open.pop(key, None)) is not None:
            self._found.append(replace(stands, resolved_ms=at_ms))


def _blocks(groups: Sequence[Group], block_ms: int, until_ms: int | None) -> Iterator[tuple[int, Sequence[Group]]]:
    """The groups by the block in which they are ready, as (its end, groups), of blocks that end by `until_ms`."""
    begin = 0
    while begin < len(groups):
        end_ms = (groups[begin].ready_ms // block_ms + 1) * block_ms
        if until_ms is not None and end_ms > until_ms:
            return
        end = begin
        while end < len(groups) and groups[end].ready_ms < end_ms:
            end += 1
        yield end_ms, groups[begin:end]
        begin = end


def taught(verdicts: Iterable[JudgedVerdict], scorers: Mapping[str, WatchedScorer]) -> dict[str, Learnt]:
    """What the verdicts of each scorer, as it is now, teach of its pass rate."""
    learnt: dict[str, Learnt] = {}
    for each in verdicts:
        scorer = scorers.get(each.scorer)
        if scorer is None or not counts(each, scorer):
            continue
        weight = scorer.smallest_probability / each.probability
        learnt[each.scorer] = learnt.get(each.scorer, Learnt()).seen(weight, float(each.label == "pass"))
    return learnt


def targets(learnt: Learnt) -> list[float]:
    """Targets worth trying, in hundredths: the lower bound of the past's rate, and somewhat less."""
    bound = lower(learnt, tolerance=0.0)
    return list(dict.fromkeys(floor(max(0.0, bound - below) * 100) / 100 for below in SUGGESTED_BELOW))


def with_target(scorer: WatchedScorer, target: float) -> WatchedScorer:
    """The scorer held to a target."""
    return replace(scorer, policy=replace(scorer.policy, source="target", target=target), measure="pass", teacher=None)


def suggestion(scorer: str, target: float, learnt: Learnt, alerts: Iterable[PastAlert], length_ms: int) -> Suggestion:
    """What a target would have cost over a past of this length."""
    worth = Counter(each.severity for each in alerts if each.scorer == scorer)
    months = max(length_ms, 1) / MONTH_MS
    return Suggestion(
        scorer=scorer,
        target=target,
        rate=learnt.mean or 0.0,
        lower=lower(learnt, tolerance=0.0),
        verdicts=learnt.n,
        pages_a_month=worth["page"] / months,
        tickets_a_month=worth["ticket"] / months,
    )
