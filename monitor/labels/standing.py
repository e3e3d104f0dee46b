"""How a judge stands: what people said of its verdicts, whether it still says what it said, and its shadow."""

from collections.abc import Sequence
from dataclasses import dataclass

from monitor.stats.judge_quality import Agreement, CorrectedRate


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenSet:
    """Labelled traces that are judged again. `moved` is None as long as none has been.

    Attributes:
        rows: in the set.
        judged_ms: when the last of them was judged again.
        changed: rows of which the judge now says something else; errors are no word.
        moved: whether that is more than chance.
    """

    rows: int
    judged_ms: int | None = None
    changed: int = 0
    moved: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowAgreement:
    """How far a scorer agrees with the one that it stands beside; None without a trace that both have judged."""

    scorer: str
    beside: str
    agreement: Agreement | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeStanding:
    """One judge.

    Attributes:
        scorer: its name.
        labels: passes and fails that people gave on traces drawn at random.
        listed: labels on other traces, of which nothing is estimated.
        agreement: of people with the judge; None without a label.
        corrected: the pass rate that people would have given; likewise.
        warning: why its alerts are to be doubted.
        frozen: of the version in force.
        shadows: the scorers that stand beside it.
    """

    scorer: str
    labels: int = 0
    listed: int = 0
    agreement: Agreement | None = None
    corrected: CorrectedRate | None = None
    warning: str | None = None
    frozen: FrozenSet = FrozenSet(rows=0)
    shadows: Sequence[ShadowAgreement] = ()
