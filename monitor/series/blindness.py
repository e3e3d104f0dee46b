"""What cannot be seen: series of which nothing can be said, why, and the smallest fall that the others would show."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from monitor.ledger.rows import ClockRow, SeriesRow
from monitor.series.stream import Stream
from monitor.series.watched import ALL, WatchedScorer
from monitor.stats.detectable import detectable_drop
from monitor.stats.series import SeriesState, Window

_SILENCE: Final[Mapping[Stream, str]] = {
    "flows": "the scorer has stopped: no verdict comes",
    "behind": "the daemon is behind: what it reads came long ago",
    "quiet": "the stream brings nothing",
}
_DAY_MS: Final = 86_400_000
_HOURS_A_DAY: Final = 24.0
_GAPS: Final = 10
"""A silence of this many mean gaps between verdicts is no chance: exp(-10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a series needs so that something can be said of it; times are ms.

    Attributes:
        min_verdicts: a day.
        quiet_ms: a silence that may be.
        window_ms: of the sums that the pace is taken from.
    """

    min_verdicts: int
    quiet_ms: int
    window_ms: int

    def why_unknown(
        self, row: SeriesRow, state: SeriesState, now_ms: int, stream: Stream = "flows", *, settles_ms: int = 0
    ) -> str | None:
        """Why nothing can be said of a series, None where something can.

        `settles_ms` is how long a bet waits for the rest of its verdicts, which is no silence.
        """
        pace, silent_ms = self.pace(row, state, now_ms), now_ms - row.last_block
        gap_ms = _DAY_MS / pace.per_day if pace.per_day else 0.0
        if silent_ms > max(self.quiet_ms, _GAPS * gap_ms) + settles_ms:
            return _SILENCE[stream]
        if pace.per_day < self.min_verdicts:
            return f"too few verdicts: {pace.per_day:.1f} a day, and {self.min_verdicts} are needed"
        return None

    def is_out_of_traffic(self, row: SeriesRow, state: SeriesState, overall: SeriesRow) -> bool:
        """Whether a segment is not used any more: since its last verdict `all` has gone on for ten of its mean gaps.

        The gaps are those of its own last days, so that the answer stands until it is used again.
        """
        pace = self.pace(row, state, row.last_block)
        return pace.per_day > 0 and overall.last_block - row.last_block > _GAPS * _DAY_MS / pace.per_day

    def pace(self, row: SeriesRow, state: SeriesState, now_ms: int) -> "Pace":
        """The pace of the last window and the one before it, as one that has just begun is no measure."""
        windows, length_ms = self._recent(row, state, now_ms)
        n = sum(each.sums.n for each in windows)
        if n == 0:
            return Pace(per_day=0.0, bets_per_day=0.0, weight=1.0, square_weight=1.0)
        return Pace(
            per_day=n * _DAY_MS / length_ms,
            bets_per_day=sum(each.bets for each in windows) * _DAY_MS / length_ms,
            weight=sum(each.sums.s0 for each in windows) / n,
            square_weight=sum(each.sums.q0 for each in windows) / n,
        )

    def _recent(self, row: SeriesRow, state: SeriesState, now_ms: int) -> tuple[list[Window], int]:
        before = now_ms // self.window_ms - 1
        windows = [each for each in (state.window, state.window_before) if each is not None and each.number >= before]
        # A series of an hour is not measured by two days.
        start_ms = max(row.first_block, before * self.window_ms)
        return windows, max(now_ms - start_ms, self.quiet_ms)

    def is_of_the_past(self, state: SeriesState, scorer: WatchedScorer, now_ms: int) -> bool:
        """Whether the window that a series shows is over for longer than a window: its rate is none of now."""
        return state.window is None or state.window.number < (now_ms - scorer.settles_ms) // self.window_ms - 1

    def drop(
        self, row: SeriesRow, state: SeriesState, scorer: WatchedScorer, clock: ClockRow, now_ms: int
    ) -> float | None:
        """The smallest fall that would be found within a day at the present pace; None where none would be."""
        pace = self.pace(row, state, now_ms)
        if state.reference is None or pace.bets_per_day == 0:
            return None
        # The threshold is in hours of a clock that all series share; here it is in bets.
        threshold = scorer.policy.threshold * max(1, clock.live) * pace.bets_per_day / _HOURS_A_DAY
        return detectable_drop(
            state.reference,
            bets_per_day=pace.bets_per_day,
            threshold=threshold,
            mean_weight=pace.weight,
            mean_square_weight=pace.square_weight,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Verdicts a day, the bets that they are, and the mean of the verdicts' weights and of the weights' squares.

    A bet of several verdicts is taken for one of the mean weight whose verdicts agree, of which most bets are needed.
    """

    per_day: float
    bets_per_day: float
    weight: float
    square_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Blindness:
    """Whether something can be said of a series; `reason` says why not, None where it can.

    `verdicts` is how many come a day, `last_ms` the beginning of the last block that had any.
    """

    scorer: str
    segment: str
    reason: str | None
    verdicts: float
    last_ms: int | None


def blindness(
    rows: Iterable[SeriesRow],
    scorers: Mapping[str, WatchedScorer],
    sight: Sight,
    *,
    expected: Iterable[str],
    stream: Stream,
    now_ms: int,
) -> list[Blindness]:
    """Of `all` and of each expected segment of every scorer that alerts whether something can be said."""
    by_key = {(row.scorer, row.segment): row for row in rows}
    segments = (ALL, *expected)
    found = []
    for scorer in scorers.values():
        if scorer.alerting and scorer.smallest_probability > 0:
            for segment in segments:
                row = by_key.get((scorer.name, segment))
                if row is not None and row.scorer_version == scorer.version:
                    found.append(_seen(row, scorer, sight, now_ms, stream))
                else:
                    reason = "no verdict yet" if stream == "flows" else _SILENCE[stream]
                    found.append(
                        Blindness(scorer=scorer.name, segment=segment, reason=reason, verdicts=0.0, last_ms=None)
                    )
    return found


def _seen(row: SeriesRow, scorer: WatchedScorer, sight: Sight, now_ms: int, stream: Stream) -> Blindness:
    state = SeriesState.of_json(row.state)
    return Blindness(
        scorer=row.scorer,
        segment=row.segment,
        reason=sight.why_unknown(row, state, now_ms, stream, settles_ms=scorer.settles_ms),
        verdicts=sight.pace(row, state, now_ms).per_day,
        last_ms=row.last_block,
    )
