"""Reads from the ledger how each judge stands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from monitor.labels.quality import JudgeQuality, ScorerQuality, alike, doubt
from monitor.labels.rejudging import moved_findings
from monitor.labels.settings import LabellingSettings
from monitor.labels.standing import FrozenSet, JudgeStanding, ShadowAgreement
from monitor.ledger.label_rows import FrozenRow, LabelCount
from monitor.ledger.ledger import Ledger
from monitor.stats.judge_quality import Agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeStandings:
    """Reads them.

    `judges` are the scorers that are judges, `versions` those in force by scorer, `shadows` maps a scorer to the one
    that it stands beside; `window` is the stretch of event time in which these two are held against each other.
    """

    ledger: Ledger
    settings: LabellingSettings
    judges: Sequence[str]
    versions: Mapping[str, str]
    shadows: Mapping[str, str]
    window: timedelta

    def read(self, now_ms: int) -> list[JudgeStanding]:
        """One for each judge, in their order.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        reader = JudgeQuality(labels=self.ledger.labels, versions=self.versions, window=self.settings.window)
        quality = {each.scorer: each for each in reader.read(now_ms)}
        counts = self.ledger.labels.counts(now_ms - self.settings.window // timedelta(milliseconds=1))
        rows = [row for row in self.ledger.frozen.all() if self.versions.get(row.scorer) == row.scorer_version]
        shadows = self._shadows(now_ms)
        return [
            self._standing(
                name,
                quality.get(name, ScorerQuality(scorer=name, agreement=None, corrected=None)),
                [count for count in counts if count.scorer == name],
                frozen_set([row for row in rows if row.scorer == name], self.settings.moved_alpha),
                [each for each in shadows if each.beside == name],
            )
            for name in self.judges
        ]

    def _standing(
        self,
        name: str,
        quality: ScorerQuality,
        counts: Iterable[LabelCount],
        frozen: FrozenSet,
        shadows: Sequence[ShadowAgreement],
    ) -> JudgeStanding:
        said = {count.drawn: count for count in counts}
        asked, others = said.get(True), said.get(False)
        return JudgeStanding(
            scorer=name,
            labels=0 if asked is None else asked.passed + asked.failed,
            listed=0 if others is None else others.passed + others.failed + others.unread,
            agreement=quality.agreement,
            corrected=quality.corrected,
            warning=doubt(quality.agreement, self.settings),
            frozen=frozen,
            shadows=tuple(shadows),
        )

    def _shadows(self, now_ms: int) -> list[ShadowAgreement]:
        since_ms = now_ms - self.window // timedelta(milliseconds=1)
        return [
            ShadowAgreement(scorer=shadow, beside=name, agreement=self._agreement(shadow, name, since_ms))
            for shadow, name in self.shadows.items()
        ]

    def _agreement(self, shadow: str, name: str, since_ms: int) -> Agreement | None:
        if shadow not in self.versions or name not in self.versions:
            # No block of it has been closed: nothing is known of it yet.
            return None
        one, two = (shadow, self.versions[shadow]), (name, self.versions[name])
        return alike(self.ledger.figures.judged_alike(one, two, since_ms))


def frozen_set(rows: Sequence[FrozenRow], alpha: float) -> FrozenSet:
    """The frozen set of one version of a scorer, held against itself as the alert `judge_moved` does."""
    if not rows:
        return FrozenSet(rows=0)
    findings = moved_findings(rows, alpha)
    return FrozenSet(
        rows=len(rows),
        judged_ms=max((row.latest_at_ms for row in rows if row.latest_at_ms is not None), default=None),
        changed=sum(row.latest in {"pass", "fail"} and row.latest != row.frozen for row in rows),
        moved=findings[0].bad if findings else None,
    )
