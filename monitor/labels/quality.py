"""How far people agree with each judge, and what that says of its pass rate: from labels on drawn traces alone."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from monitor.labels.settings import LabellingSettings
from monitor.ledger.label_rows import LabelledVerdict, VerdictTally
from monitor.ledger.labels import Labels
from monitor.ledger.rows import Label
from monitor.stats.judge_quality import (
    NONE,
    Agreement,
    CorrectedRate,
    Judged,
    Labelled,
    Tally,
    agreement_of,
    corrected_rate,
    labelled_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerQuality:
    """What labels say of a scorer; None where there are none."""

    scorer: str
    agreement: Agreement | None
    corrected: CorrectedRate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeQuality:
    """Reads the quality of scorers. `versions` maps each to the version in force: labels of others are of others."""

    labels: Labels
    versions: Mapping[str, str]
    window: timedelta

    def agreements(self, now_ms: int) -> Mapping[str, Agreement]:
        """How far people agree with each scorer that has labels: what costs one look at them alone.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        found = {scorer: agreement_of(_labelled(pairs)) for scorer, pairs in self._pairs(now_ms).items()}
        return {scorer: agreement for scorer, agreement in found.items() if agreement is not None}

    def _pairs(self, now_ms: int) -> defaultdict[str, list[LabelledVerdict]]:
        pairs: defaultdict[str, list[LabelledVerdict]] = defaultdict(list)
        for each in self.labels.labelled_verdicts(self._since(now_ms)):
            if self.versions.get(each.scorer) == each.scorer_version:
                pairs[each.scorer].append(each)
        return pairs

    def _since(self, now_ms: int) -> int:
        return now_ms - self.window // timedelta(milliseconds=1)

    def read(self, now_ms: int) -> list[ScorerQuality]:
        """The quality of each scorer, by name.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        since_ms, pairs = self._since(now_ms), self._pairs(now_ms)
        tallies = self.labels.tallies(since_ms, pairs.keys())
        found = []
        for scorer, version in sorted(self.versions.items()):
            own = [each for each in tallies.get(scorer, []) if each.scorer_version == version]
            found.append(quality_of(scorer, pairs[scorer], own))
        return found


def quality_of(scorer: str, pairs: Iterable[LabelledVerdict], tallies: Sequence[VerdictTally]) -> ScorerQuality:
    """The quality of one version of a scorer, from its labelled verdicts and from all of them."""
    pairs = list(pairs)
    labelled = _labelled(pairs)
    of_label = {each.label: Tally(count=each.count, weight=each.weight, squares=each.squares) for each in tallies}
    judged = Judged(passed=of_label.get("pass", NONE), failed=of_label.get("fail", NONE))
    # In the unit of the verdicts: a label weighs as much more as labels are rarer than verdicts.
    unlabelled = judged.without(_labelled(pairs, weight=lambda each: each.verdict_weight))
    return ScorerQuality(
        scorer=scorer, agreement=agreement_of(labelled), corrected=corrected_rate(labelled, judged, unlabelled)
    )


def doubt(found: Agreement | None, settings: LabellingSettings) -> str | None:
    """Why alerts of a scorer are to be doubted by how far people agree with it, None where nothing says so."""
    if found is None or found.n < settings.min_labels or found.share >= settings.agreement:
        return None
    return (
        f"people agree with this scorer on {found.share:.0%} of {found.n} labelled traces; "
        f"below {settings.agreement:.0%} its verdicts are to be doubted"
    )


def _label_weight(each: LabelledVerdict) -> float:
    return each.weight


def _labelled(
    pairs: Iterable[LabelledVerdict], *, weight: Callable[[LabelledVerdict], float] = _label_weight
) -> Labelled:
    cells: defaultdict[tuple[bool, bool], Tally] = defaultdict(Tally)
    for each in pairs:
        one = Tally(count=1, weight=weight(each), squares=weight(each) ** 2)
        cells[each.human == "pass", each.judge == "pass"] += one
    return labelled_of(cells)


def alike(counts: Mapping[tuple[Label, Label], int]) -> Agreement | None:
    """How far two scorers agree on the traces that both have judged, errors left out; None without any."""
    cells = {
        (label == "pass", other == "pass"): Tally.equal(count)
        for (label, other), count in counts.items()
        if "error" not in {label, other}
    }
    return agreement_of(labelled_of(cells))
