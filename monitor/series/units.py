"""Which verdicts are one bet, and when it is complete. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    """How verdicts are put together; times are ms."""

    scorers: Mapping[str, WatchedScorer]
    quiet_ms: int
    unit_block_ms: int

    def groups(self, open_verdicts: Iterable[OpenVerdict]) -> list[Group]:
        """The bets that the verdicts make, the first to be complete first."""
        by_group: defaultdict[tuple[str, str, str], list[OpenVerdict]] = defaultdict(list)
        for verdict in open_verdicts:
            by_group[self._group_of(verdict)].append(verdict)
        groups = [
            Group(ready_ms=self._ready_ms(unit, members), verdicts=sorted(members, key=lambda each: each.trace_id))
            for (unit, _, _), members in by_group.items()
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

    def _ready_ms(self, unit: str, members: Sequence[OpenVerdict]) -> int:
        newest = max(each.event_time_ms for each in members)
        if unit == "session":
            return newest + self.quiet_ms
        if unit == "block":
            return (newest // self.unit_block_ms + 1) * self.unit_block_ms - 1
        return newest

    def bets(self, groups: Iterable[Group], oldest_ms: int) -> Mapping[Key, list[SeriesBet]]:
        """The bets of each series, in the order of their groups; what is older than `oldest_ms` bets nothing."""
        bets: defaultdict[Key, list[SeriesBet]] = defaultdict(list)
        for group in groups:
            of_segment: defaultdict[str, list[OpenVerdict]] = defaultdict(list)
            for verdict in group.verdicts:
                if self._counts(verdict):
                    for segment in (ALL, *verdict.segment_names):
                        of_segment[segment].append(verdict)
            for segment, members in of_segment.items():
                old = max(each.event_time_ms for each in members) < oldest_ms
                bets[members[0].scorer, segment].append(SeriesBet(verdicts=members, old=old))
        return bets

    def _counts(self, verdict: OpenVerdict) -> bool:
        scorer = self.scorers.get(verdict.scorer)
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
