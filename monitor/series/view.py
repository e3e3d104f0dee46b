"""A series as people and programs see it: its state in a word, its figures, and what it would notice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import ClockRow, SeriesRow
from monitor.series.blindness import Sight
from monitor.series.stream import Stream, stream_by_traces
from monitor.series.watched import WatchedScorer
from monitor.stats.confidence import hajek, interval
from monitor.stats.sequential import strength
from monitor.stats.series import SeriesState

Word = Literal["good", "regressed", "learning", "unknown"]

CHANGED: Final = "the scorer has changed: its series begins anew with the next verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesView:
    """One series. Rates are 0 to 1; what is not known is None.

    Attributes:
        word: its state; `reason` says why it is unknown, or how much is learnt.
        rate: the weighted pass rate of the window that is shown, with bounds that hold at every look.
        verdicts: that it rests on.
        reference: what it is held against.
        evidence: of a fall, alarm at 1, and kept there until it has recovered.
        detectable_drop: the smallest fall that would be found within a day.
        since_ms: since when it has regressed, by the test's account.
        anew_ms: since when it is of another version of its scorer than before.
        is_past: whether the rate is one of a time that is over, as that of a series that has been silent for days.
    """

    scorer: str
    segment: str
    scorer_version: str
    word: Word
    reason: str | None
    rate: float | None = None
    lower: float | None = None
    upper: float | None = None
    verdicts: int = 0
    reference: float | None = None
    evidence: float | None = None
    detectable_drop: float | None = None
    since_ms: int | None = None
    shadow: bool
    anew_ms: int | None = None
    is_past: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesViews:
    """Reads every series of the scorers as they are configured; times are ms."""

    ledger: Ledger
    scorers: Mapping[str, WatchedScorer]
    sight: Sight

    def read(self, now_ms: int) -> list[SeriesView]:
        """The series, by scorer and segment.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        stream = stream_by_traces(self.ledger, now_ms, self.sight.quiet_ms)
        return list(self.of(self.ledger.series.all(), self.ledger.series.clock(), now_ms, stream))

    def of(
        self, rows: Iterable[SeriesRow], clock: ClockRow | None, now_ms: int, stream: Stream = "flows"
    ) -> Iterable[SeriesView]:
        """The views of rows that were read before."""
        for row in rows:
            scorer = self.scorers.get(row.scorer)
            if scorer is None:
                continue
            if row.scorer_version == scorer.version:
                yield self._view(row, scorer, clock, now_ms, stream)
            else:
                yield _outdated(row, scorer)

    def _view(
        self, row: SeriesRow, scorer: WatchedScorer, clock: ClockRow | None, now_ms: int, stream: Stream
    ) -> SeriesView:
        state = SeriesState.of_json(row.state)
        drop = None if clock is None else self.sight.drop(row, state, scorer, clock, now_ms)
        unknown = self.sight.why_unknown(row, state, now_ms, stream, settles_ms=scorer.settles_ms)
        word, reason = _word(state, scorer, drop, unknown)
        sums = state.shown
        low, high = interval(sums) if sums.n else (None, None)
        return SeriesView(
            scorer=row.scorer,
            segment=row.segment,
            scorer_version=row.scorer_version,
            word=word,
            reason=reason,
            rate=hajek(sums),
            lower=low,
            upper=high,
            verdicts=sums.n,
            reference=state.reference,
            evidence=_evidence(state, scorer),
            detectable_drop=drop,
            since_ms=None if state.alarm is None else state.alarm.onset_ms,
            shadow=not scorer.alerting,
            anew_ms=state.anew_ms,
            is_past=self.sight.is_of_the_past(state, scorer, now_ms),
        )


def _outdated(row: SeriesRow, scorer: WatchedScorer) -> SeriesView:
    """A series of the scorer as it was; what it says is not true of the scorer as it is."""
    return SeriesView(
        scorer=row.scorer,
        segment=row.segment,
        scorer_version=scorer.version,
        word="unknown",
        reason=CHANGED,
        shadow=not scorer.alerting,
    )


def _word(
    state: SeriesState, scorer: WatchedScorer, drop: float | None, unknown: str | None
) -> tuple[Word, str | None]:
    if state.phase == "regressed":
        return "regressed", unknown
    if unknown is not None:
        return "unknown", unknown
    if state.phase == "learning":
        return "learning", f"{state.learnt.verdicts} of {scorer.policy.reference_verdicts} verdicts for its reference"
    if drop is None and scorer.alerting:
        return "unknown", "no fall of any size would be noticed within a day"
    return "good", None


def _evidence(state: SeriesState, scorer: WatchedScorer) -> float | None:
    if not state.watched:
        return None
    return 1.0 if state.phase == "regressed" else min(1.0, strength(state.evidence, scorer.policy.threshold))
