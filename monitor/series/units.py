"""Which verdicts are one bet, and when it is complete. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from monitor.ledger.rows import OpenVerdict
from monitor.series.watched import ALL, Key, WatchedScorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Verdicts of one scorer that are one bet in each of their series, in the order of their traces' ids.

    `ready_ms` is the event time from which the bet is complete.
    """

    ready_ms: int
    verdicts: Sequence[OpenVerdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesBet:
    """One bet of one series. An old one counts in windows and bets nothing."""

    verdicts: Sequence[OpenVerdict]
    old: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """How verdicts are put together; times are ms.

    Attributes:
        quiet_ms: the silence that ends a session.
        longest_ms: after which a session that never rests is cut.
        unit_block_ms: the stretch of time that is one bet.
    """

    scorers: Mapping[str, WatchedScorer]
    quiet_ms: int
    longest_ms: int
    unit_block_ms: int

    def groups(self, open_verdicts: Iterable[OpenVerdict]) -> list[Group]:
        """The bets that the verdicts make, the first to be complete first."""
        by_group: defaultdict[tuple[str, str, str], list[OpenVerdict]] = defaultdict(list)
        for verdict in open_verdicts:
            by_group[self._group_of(verdict)].append(verdict)
        groups = [
            Group(ready_ms=self._ready_ms(unit, part), verdicts=sorted(part, key=lambda each: each.trace_id))
            for (unit, _, _), members in by_group.items()
            for part in (self._sessions(members) if unit == "session" else [members])
        ]
        return sorted(groups, key=lambda group: (group.ready_ms, group.verdicts[0].scorer, group.verdicts[0].trace_id))

    def _group_of(self, verdict: OpenVerdict) -> tuple[str, str, str]:
        scorer = self.scorers.get(verdict.scorer)
        unit = "verdict" if scorer is None else scorer.unit
        if unit == "session" and verdict.session_id is not None:
            return ("session", verdict.scorer, verdict.session_id)
        if unit == "block":
            return ("block", verdict.scorer, str(verdict.event_time_ms // self.unit_block_ms))
        return ("verdict", verdict.scorer, verdict.trace_id)

    def _sessions(self, members: Sequence[OpenVerdict]) -> Iterator[list[OpenVerdict]]:
        """Cut where a session rests or has lasted too long, so that it is the same whenever somebody looks."""
        part: list[OpenVerdict] = []
        for each in sorted(members, key=lambda verdict: (verdict.event_time_ms, verdict.trace_id)):
            if part and each.event_time_ms > self._ends_ms(part[0].event_time_ms, part[-1].event_time_ms):
                yield part
                part = []
            part.append(each)
        yield part

    def _ends_ms(self, first_ms: int, newest_ms: int) -> int:
        return min(newest_ms + self.quiet_ms, first_ms + self.longest_ms)

    def _ready_ms(self, unit: str, members: Sequence[OpenVerdict]) -> int:
        times = [each.event_time_ms for each in members]
        newest = max(times)
        if unit == "session":
            return self._ends_ms(min(times), newest)
        if unit == "block":
            return (newest // self.unit_block_ms + 1) * self.unit_block_ms - 1
        return newest

    def bets(self, groups: Iterable[Group], oldest_ms: int) -> Mapping[Key, list[SeriesBet]]:
        """The bets of each series, in the order of their groups.

        What was complete before `oldest_ms` bets nothing: its age begins when the bet could have been made.
        """
        bets: defaultdict[Key, list[SeriesBet]] = defaultdict(list)
        for group in groups:
            of_segment: defaultdict[str, list[OpenVerdict]] = defaultdict(list)
            for verdict in group.verdicts:
                if counts(verdict, self.scorers.get(verdict.scorer)):
                    for segment in (ALL, *verdict.segment_names):
                        of_segment[segment].append(verdict)
            for segment, members in of_segment.items():
                bet = SeriesBet(verdicts=members, old=group.ready_ms < oldest_ms)
                bets[members[0].scorer, segment].append(bet)
        return bets


def counts(verdict: OpenVerdict, scorer: WatchedScorer | None) -> bool:
    """Whether a verdict says something of the scorer as it is."""
    return (
        scorer is not None
        and verdict.scorer_version == scorer.version
        and verdict.label != "error"
        # A smaller one is of an older configuration: its weight would exceed what the test allows.
        and verdict.probability >= scorer.smallest_probability > 0
    )


def in_ms(duration: timedelta) -> int:
    """Whole milliseconds."""
    return duration // timedelta(milliseconds=1)
