"""All series and the clock of deposits, block after block. Pure: what is read and written is somebody else's.

The clock runs one hour an hour, divided by the number of series that share it: what a series deposits in its test is
what the clock went on since its last bet. So the deposits of all series together never exceed the hours that passed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from monitor.ledger.rows import ClockRow, OpenVerdict, SeriesRow
from monitor.ledger.series import Series
from monitor.series.units import SeriesBet, in_ms
from monitor.series.watched import ALL, Key, WatchedScorer, references_of_segments
from monitor.stats.series import Bet, Score, SeriesState, closed, new_series, retargeted
from monitor.stats.settings import StatisticsSettings

OF_THE_SAME_TRAFFIC: Final = "app_version"
"""A segment key whose values take over from each other: a new value begins with the reference of `all`."""

_HOUR_MS: Final = 3_600_000
_MOST_HOURS: Final = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a block changed: the series as they are now, those that ended, those whose scorer is another one."""

    series: Sequence[SeriesRow]
    retired: Sequence[Key]
    anew: Sequence[Key]


class Book:
    """Every series of the daemon."""

    def __init__(
        self,
        rows: Mapping[Key, SeriesRow],
        clock: ClockRow | None,
        scorers: Mapping[str, WatchedScorer],
        settings: StatisticsSettings,
    ) -> None:
        self._rows = dict(rows)
        self._states = {key: SeriesState.of_json(row.state) for key, row in rows.items()}
        self._clock = clock
        self._scorers = scorers
        self._settings = settings
        self._block_ms = in_ms(settings.block)

    @classmethod
    def read(cls, ledger: Series, scorers: Mapping[str, WatchedScorer], settings: StatisticsSettings) -> Self:
        """The book as the ledger holds it.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        rows = {(row.scorer, row.segment): row for row in ledger.all()}
        return cls(rows, ledger.clock(), scorers, settings)

    @property
    def rows(self) -> Mapping[Key, SeriesRow]:
        """The series after the last block."""
        return self._rows

    @property
    def states(self) -> Mapping[Key, SeriesState]:
        """What each of them knows."""
        return self._states

    @property
    def clock(self) -> ClockRow:
        """The clock after the last block."""
        if self._clock is None:
            raise ValueError("the clock runs from the first block on")
        return self._clock

    def close(self, bets: Mapping[Key, Sequence[SeriesBet]], end_ms: int) -> Change:
        """Take in the block that ends at `end_ms`."""
        bets = self._bounded(bets)
        anew = self._drop_changed_scorers(bets)
        retired = self._retire(bets, end_ms)
        new = [key for key in sorted(bets) if key not in self._states]
        changed = set(anew)
        for key in new:
            anew_ms = end_ms - self._block_ms if key in changed else None
            self._states[key] = replace(self._begin(key), anew_ms=anew_ms)
        clock = self._clock = self._advanced_clock(end_ms)
        for key in new:
            began = clock.shares - self._block_ms / _HOUR_MS / clock.live
            self._states[key] = replace(self._states[key], deposited=began)
        series = [self._take_in(key, bets[key], end_ms) for key in sorted(bets)]
        self._clock = replace(clock, live=max(1, self._live()))
        return Change(series=series, retired=retired, anew=anew)

    def _bounded(self, bets: Mapping[Key, Sequence[SeriesBet]]) -> Mapping[Key, Sequence[SeriesBet]]:
        """Without the smallest of the values of a segment key that are more than may have a series."""
        by_key: defaultdict[Key, list[Key]] = defaultdict(list)
        for scorer, segment in bets:
            by_key[scorer, segment.split("=", 1)[0]].append((scorer, segment))
        kept: set[Key] = set()
        for keys in by_key.values():
            keys.sort(key=lambda key: (self._may_retire(key), -len(bets[key]), key))
            kept.update(keys[: self._settings.segment_values])
        return {key: bets[key] for key in bets if key in kept}

    def _drop_changed_scorers(self, bets: Mapping[Key, object]) -> list[Key]:
        anew = []
        for key, row in self._rows.items():
            scorer = self._scorers.get(row.scorer)
            if scorer is None or key not in self._states:
                continue
            if row.scorer_version == scorer.version:
                self._states[key] = retargeted(self._states[key], scorer.policy, scorer.bet_on)
            elif key in bets:
                del self._states[key]
                anew.append(key)
        return anew

    def _retire(self, coming: Mapping[Key, object], end_ms: int) -> list[Key]:
        idle_ms = end_ms - in_ms(self._settings.segment_idle)
        last_seen = {key: row.last_block for key, row in self._rows.items() if self._may_retire(key)}
        retired = {key for key, block in last_seen.items() if block < idle_ms and key not in coming}
        staying: defaultdict[Key, list[Key]] = defaultdict(list)
        for key in sorted((last_seen.keys() - retired) | {key for key in coming if self._may_retire(key)}):
            staying[key[0], key[1].split("=", 1)[0]].append(key)
        for keys in staying.values():
            # What has been quiet for longest makes room: a new value never waits for a place.
            keys.sort(key=lambda key: (key in coming, last_seen.get(key, end_ms), key))
            retired.update(key for key in keys[: -self._settings.segment_values] if key in self._rows)
        for key in retired:
            del self._rows[key]
            self._states.pop(key, None)
        return sorted(retired)

    def _may_retire(self, key: Key) -> bool:
        return key[1] != ALL and key[1] not in self._settings.expected

    def _begin(self, key: Key) -> SeriesState:
        scorer, segment = key
        overall = self._states.get((scorer, ALL))
        inherits = overall is not None and segment.split("=", 1)[0] == OF_THE_SAME_TRAFFIC
        inherited = overall.reference if overall is not None and inherits else None
        watched = self._scorers[scorer]
        return new_series(watched.policy, watched.bet_on, inherited=inherited, deposited=0.0)

    def _live(self) -> int:
        return sum(
            state.watched and scorer in self._scorers and self._scorers[scorer].alerting
            for (scorer, _), state in self._states.items()
        )

    def _advanced_clock(self, end_ms: int) -> ClockRow:
        live = max(1, self._live())
        before = self._clock or ClockRow(block=end_ms - self._block_ms, live=live, shares=0.0)
        hours = max(0, end_ms - before.block) / _HOUR_MS
        # A series that is new in this block takes its share from the others for the whole stretch.
        return ClockRow(block=end_ms, live=live, shares=before.shares + hours / max(live, before.live))

    def _take_in(self, key: Key, bets: Sequence[SeriesBet], end_ms: int) -> SeriesRow:
        scorer = self._scorers[key[0]]
        strata = self._references_of_strata(key, scorer)
        state = closed(
            self._states[key],
            scorer.policy,
            [Bet(scores=[self._score(scorer, each, strata) for each in bet.verdicts], old=bet.old) for bet in bets],
            began_ms=end_ms - self._block_ms,
            at_ms=end_ms,
            clock=self.clock.shares,
            most_deposit=_MOST_HOURS / self.clock.live if scorer.alerting else 0.0,
        )
        block = end_ms - self._block_ms
        before = self._rows.get(key)
        goes_on = before is not None and before.scorer_version == scorer.version
        row = SeriesRow(
            scorer=key[0],
            segment=key[1],
            scorer_version=scorer.version,
            first_block=before.first_block if before is not None and goes_on else block,
            last_block=block,
            state=state.as_json(),
        )
        self._states[key], self._rows[key] = state, row
        return row

    def _score(self, scorer: WatchedScorer, verdict: OpenVerdict, strata: Mapping[str, float]) -> Score:
        mix = self._settings.mix_adjustment
        stratum = f"{mix}={verdict.segments[mix]}" if strata and mix is not None and mix in verdict.segments else None
        reference = None if stratum is None else strata.get(stratum)
        passed = verdict.label == "pass"
        graded = verdict.value if scorer.measure == "value" else None
        return Score(
            weight=scorer.smallest_probability / verdict.probability,
            passed=passed,
            measure=float(passed) if graded is None else graded,
            reference=reference,
            teaches=scorer.teacher is None or scorer.teacher == verdict.app_version,
            # The reference of all the traffic is too high for a hard stratum once the easy ones have their own.
            bets=reference is not None or not strata or self._came_later(scorer.name, stratum),
        )

    def _came_later(self, scorer: str, stratum: str | None) -> bool:
        """Whether a stratum was no part of what the reference of `all` was learnt from, and may make it fall."""
        known_ms = self._states[scorer, ALL].known_ms
        if stratum is None or known_ms is None or (scorer, stratum) not in self._states:
            return False
        row = self._rows.get((scorer, stratum))
        return row is None or row.first_block >= known_ms

    def _references_of_strata(self, key: Key, scorer: WatchedScorer) -> Mapping[str, float]:
        """Segment -> its own reference, of the strata that `all` is adjusted for and that have one."""
        mix = self._settings.mix_adjustment
        if mix is None or key[1] != ALL or scorer.policy.source == "target":
            return {}
        known = references_of_segments(self._states, key[0])
        return {segment: reference for segment, reference in known.items() if segment.startswith(f"{mix}=")}
