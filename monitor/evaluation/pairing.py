"""Which rows of two runs belong together, and what the two versions got on them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from monitor.evaluation.canonical import canonical_digest
from monitor.evaluation.evaluated_run import EvaluatedRow, Label, RowVerdict
from monitor.stats.comparison import PairedScores
from monitor.stats.paired_counts import PairCounts

Pair = tuple[EvaluatedRow, EvaluatedRow]


def pair_rows(baseline: Sequence[EvaluatedRow], candidate: Sequence[EvaluatedRow]) -> list[Pair]:
    """Rows with the same record id, else with equal inputs, the k-th with the k-th; in the baseline's order."""
    common = {row.record_id for row in baseline} & {row.record_id for row in candidate} - {None}

    def key(row: EvaluatedRow) -> tuple[str, str]:
        if row.record_id in common:
            return "record", str(row.record_id)
        return "inputs", canonical_digest(row.inputs)

    waiting: defaultdict[tuple[str, str], list[EvaluatedRow]] = defaultdict(list)
    for row in reversed(candidate):
        waiting[key(row)].append(row)
    return [(row, waiting[key(row)].pop()) for row in baseline if waiting[key(row)]]


def without_partner(rows: Iterable[EvaluatedRow], paired: Iterable[EvaluatedRow]) -> tuple[EvaluatedRow, ...]:
    """The rows that are in no pair, in their own order."""
    found = {id(row) for row in paired}
    return tuple(row for row in rows if id(row) not in found)


def labels(scorer: str, pair: Pair) -> tuple[Label | None, Label | None]:
    """What the scorer says of both answers; None where it never saw one."""
    first, second = (row.verdict(scorer) for row in pair)
    return (None if first is None else first.label, None if second is None else second.label)


def paired_scores(scorer: str, pairs: Sequence[Pair], *, graded: bool) -> PairedScores:
    """The scores of the pairs that the scorer could judge, in their order.

    A pass-or-fail scorer is graded all the same where repeats disagree: then a row's score is the share that pass.

    Args:
        scorer: which one.
        pairs: in the order in which the rows were run.
        graded: whether the scorer gives numbers.
    """
    cells = {("pass", "pass"): 0, ("pass", "fail"): 0, ("fail", "pass"): 0, ("fail", "fail"): 0}
    baseline: list[float] = []
    candidate: list[float] = []
    for pair in pairs:
        verdicts = [row.verdict(scorer) for row in pair]
        first, second = (None if verdict is None else verdict.score for verdict in verdicts)
        found = labels(scorer, pair)
        if first is None or second is None or found not in cells:
            continue
        cells[found] += 1
        baseline.append(first)
        candidate.append(second)
    return PairedScores(
        counts=PairCounts(
            both_pass=cells["pass", "pass"],
            pass_to_fail=cells["pass", "fail"],
            fail_to_pass=cells["fail", "pass"],
            both_fail=cells["fail", "fail"],
        ),
        baseline=tuple(baseline),
        candidate=tuple(candidate),
        graded=graded or any(0 < score < 1 for score in (*baseline, *candidate)),
    )


def scorer_errors(scorer: str, pairs: Iterable[Pair]) -> tuple[int, int]:
    """How many answers of the pairs the scorer could not judge, by version; each drops its pair."""
    found = [labels(scorer, pair) for pair in pairs]
    unjudged = ("error", None)
    return sum(first in unjudged for first, _ in found), sum(second in unjudged for _, second in found)


def repeat_errors(scorer: str, pairs: Iterable[Pair]) -> tuple[int, int]:
    """How many repeats had an error on answers that were judged all the same, by version."""
    counts = [0, 0]
    for pair in pairs:
        for side, verdict in enumerate(row.verdict(scorer) for row in pair):
            if verdict is not None and verdict.label != "error":
                counts[side] += len(verdict.repeats) - len(verdict.judged)
    return counts[0], counts[1]


def self_agreement(verdicts: Iterable[RowVerdict]) -> float | None:
    """The chance that two repeats on one answer say the same; None where nothing was judged twice.

    Every answer counts once, whatever the number of its repeats.
    """
    shares = []
    for verdict in verdicts:
        n, passes = len(verdict.judged), verdict.judged.count("pass")
        if n > 1:
            shares.append((passes * (passes - 1) + (n - passes) * (n - passes - 1)) / (n * (n - 1)))
    return sum(shares) / len(shares) if shares else None
