"""Two evaluation runs side by side: rows are paired, every scorer is compared, changed rows are shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from monitor.evaluation.canonical import rows_digest
from monitor.evaluation.errors import NoPairedRows
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun
from monitor.evaluation.pairing import (
    Pair,
    labels,
    pair_rows,
    paired_scores,
    repeat_errors,
    scorer_errors,
    self_agreement,
    without_partner,
)
from monitor.evaluation.row_order import place
from monitor.stats.anytime import fewest_anytime_rows
from monitor.stats.comparison import (
    ALPHA,
    PairedResult,
    PairedScores,
    compare_anytime,
    compare_paired,
    fewest_decisive_rows,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScorerComparison:
    """One scorer: its paired result and what it could not judge, by version.

    Attributes:
        errors: paired rows that it could not judge; they are in no number.
        repeat_errors: repeats with an error on rows that were judged all the same.
        self_agreement: the chance that two repeats on one answer say the same; None without repeats.
        note: why the numbers must not decide; None as a rule.
    """

    scorer: str
    result: PairedResult
    errors: tuple[int, int]
    repeat_errors: tuple[int, int] = (0, 0)
    self_agreement: float | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedRow:
    """One row on which a scorer changed its mind from the baseline to the candidate."""

    scorer: str
    baseline: EvaluatedRow
    candidate: EvaluatedRow


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlyStop:
    """What became of an evaluation whose rows could stop early.

    Attributes:
        planned: rows that were to be run.
        answers_saved: answers that neither version had to give.
        judge_calls_saved: the judge's verdicts on them.
    """

    planned: int
    answers_saved: int
    judge_calls_saved: int

    @property
    def stopped(self) -> bool:
        """Whether it was decided before the rows ended."""
        return self.answers_saved > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A candidate against its baseline.

    `added` are the rows that only the candidate has, `removed` those that only the baseline has; `app_errors` counts
    paired rows on which the application failed, by version.
    """

    baseline: EvaluatedRun
    candidate: EvaluatedRun
    dataset: str | None
    digest: str
    rows: int
    added: tuple[EvaluatedRow, ...]
    removed: tuple[EvaluatedRow, ...]
    app_errors: tuple[int, int]
    metrics: tuple[ScorerComparison, ...]
    pass_to_fail: tuple[ChangedRow, ...]
    fail_to_pass: tuple[ChangedRow, ...]
    early_stop: EarlyStop | None = None

    @property
    def baseline_overall(self) -> float | None:
        """Plain mean of the scorers' rates over the paired rows."""
        return _mean(metric.result.baseline_rate for metric in self.metrics)

    @property
    def candidate_overall(self) -> float | None:
        """Plain mean of the scorers' rates over the paired rows."""
        return _mean(metric.result.candidate_rate for metric in self.metrics)

    @property
    def overall_difference(self) -> float | None:
        """Candidate minus baseline; None where either is undefined."""
        if self.baseline_overall is None or self.candidate_overall is None:
            return None
        return self.candidate_overall - self.baseline_overall

    @property
    def regressed(self) -> bool:
        """Whether any scorer is proved to be worse."""
        return any(metric.result.verdict == "regressed" for metric in self.metrics)

    @property
    def settled(self) -> bool:
        """Whether further rows could change no answer: a regression is proved, or something of every scorer."""
        compared = [metric.result.verdict for metric in self.metrics if metric.note is None]
        return self.regressed or (bool(compared) and "inconclusive" not in compared)

    @property
    def repeats(self) -> int:
        """How many times an answer was judged at most."""
        return max(run.plan.repeats if run.plan else 1 for run in (self.baseline, self.candidate))

    @property
    def rows_to_decide(self) -> int:
        """Below this number of rows no result could have been significant."""
        if self.early_stop is not None:
            compared = sum(metric.note is None for metric in self.metrics)
            return fewest_anytime_rows(max(1, compared) / ALPHA)
        return fewest_decisive_rows(max(1, sum(metric.result.p_adjusted is not None for metric in self.metrics)))


def compare_runs(baseline: EvaluatedRun, candidate: EvaluatedRun, *, margin: float) -> Comparison:
    """Pair the rows of two runs and compare every scorer.

    Where either run could stop early the anytime test alone decides.

    Args:
        baseline: the run to compare with.
        candidate: the run in question.
        margin: largest difference of pass rates that does not matter.

    Raises:
        NoPairedRows: the runs have no row in common.
    """
    pairs = pair_rows(baseline.rows, candidate.rows)
    if not pairs:
        raise NoPairedRows(
            f"runs {baseline.run_id} and {candidate.run_id} have no row in common: "
            "rows pair by the tag tracewatch.record_id, else by equal inputs"
        )
    same_content = baseline.digest is not None and baseline.digest == candidate.digest
    digest = baseline.digest if same_content and baseline.digest else rows_digest([pair[0].inputs for pair in pairs])
    early_stop = _early_stop(baseline, candidate)
    if early_stop is not None:
        pairs.sort(key=lambda pair: place(digest, pair[0].record_id, pair[0].inputs))
    removed = without_partner(baseline.rows, (first for first, _ in pairs))
    added = without_partner(candidate.rows, (second for _, second in pairs))
    if early_stop is not None and same_content:
        # The same rows were to be run: one run went on for the sake of another candidate.
        removed = added = ()
    metrics = _metrics(baseline, candidate, pairs, margin=margin, early_stop=early_stop)
    scorers = [metric.scorer for metric in metrics]
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        dataset=candidate.dataset or baseline.dataset,
        digest=digest,
        rows=len(pairs),
        added=added,
        removed=removed,
        app_errors=(
            sum(first.failure is not None for first, _ in pairs),
            sum(second.failure is not None for _, second in pairs),
        ),
        metrics=metrics,
        pass_to_fail=tuple(_changed(scorers, pairs, "pass", "fail")),
        fail_to_pass=tuple(_changed(scorers, pairs, "fail", "pass")),
        early_stop=early_stop,
    )


def _early_stop(baseline: EvaluatedRun, candidate: EvaluatedRun) -> EarlyStop | None:
    plans = [(run.plan, len(run.rows)) for run in (baseline, candidate) if run.plan and run.plan.early_stop]
    if not plans:
        return None
    left_out = [(plan, max(0, plan.rows - rows)) for plan, rows in plans]
    return EarlyStop(
        planned=max(plan.rows for plan, _ in plans),
        answers_saved=sum(rows for _, rows in left_out),
        judge_calls_saved=sum(rows * plan.judges * plan.repeats for plan, rows in left_out),
    )


def _metrics(
    baseline: EvaluatedRun,
    candidate: EvaluatedRun,
    pairs: Sequence[Pair],
    *,
    margin: float,
    early_stop: EarlyStop | None,
) -> tuple[ScorerComparison, ...]:
    scorers = tuple(dict.fromkeys((*baseline.scorers, *candidate.scorers)))
    graded = baseline.graded | candidate.graded
    scores = {scorer: paired_scores(scorer, pairs, graded=scorer in graded) for scorer in scorers}
    notes = {scorer: _note(scorer, baseline, candidate) for scorer in scorers}
    results = _results({each: scores[each] for each in scorers if notes[each] is None}, margin, early_stop)
    for scorer in scorers:
        if notes[scorer] is not None:
            results[scorer] = _descriptive(scores[scorer], margin)
    return tuple(
        ScorerComparison(
            scorer=scorer,
            result=results[scorer],
            errors=scorer_errors(scorer, pairs) if _both_have(scorer, baseline, candidate) else (0, 0),
            repeat_errors=repeat_errors(scorer, pairs),
            self_agreement=self_agreement(
                verdict for pair in pairs for row in pair if (verdict := row.verdict(scorer)) is not None
            ),
            note=notes[scorer],
        )
        for scorer in scorers
    )


def _results(
    scores: Mapping[str, PairedScores], margin: float, early_stop: EarlyStop | None
) -> dict[str, PairedResult]:
    if early_stop is not None:
        return compare_anytime(scores, complete=not early_stop.stopped, margin=margin)
    return compare_paired(scores, margin=margin)


def _changed(scorers: Iterable[str], pairs: Sequence[Pair], before: str, after: str) -> Iterable[ChangedRow]:
    for scorer in scorers:
        for pair in pairs:
            if labels(scorer, pair) == (before, after):
                yield ChangedRow(scorer=scorer, baseline=pair[0], candidate=pair[1])


def _both_have(scorer: str, baseline: EvaluatedRun, candidate: EvaluatedRun) -> bool:
    return scorer in baseline.scorers and scorer in candidate.scorers


def _note(scorer: str, baseline: EvaluatedRun, candidate: EvaluatedRun) -> str | None:
    for run in (baseline, candidate):
        if scorer not in run.scorers:
            return f"only one run has this scorer, {run.version} has not"
    first, second = baseline.scorer_versions.get(scorer), candidate.scorer_versions.get(scorer)
    if first is not None and second is not None and first != second:
        return f"the scorer's versions differ: {first} and {second}"
    return None


def _descriptive(scores: PairedScores, margin: float) -> PairedResult:
    """Rates of verdicts that two different scorers gave: they may be looked at, and prove nothing."""
    alone = compare_paired({"": scores}, margin=margin)[""]
    return replace(
        alone, ci_low=None, ci_high=None, p_mid=None, p_exact=None, p_adjusted=None, verdict="inconclusive",
        rows_needed=None,
    )  # fmt: skip


def _mean(rates: Iterable[float | None]) -> float | None:
    defined = [rate for rate in rates if rate is not None]
    return sum(defined) / len(defined) if defined else None
