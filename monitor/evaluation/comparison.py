"""Two evaluation runs side by side: rows are paired, every scorer is compared, changed rows are shown."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from monitor.evaluation.canonical import canonical_digest, rows_digest
from monitor.evaluation.errors import NoPairedRows
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun
from monitor.stats.comparison import PairCounts, PairedResult, compare_paired, fewest_decisive_rows

Pair = tuple[EvaluatedRow, EvaluatedRow]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScorerComparison:
    """One scorer: its paired result and how many of the paired rows it could not judge, by version.

    `note` says why the numbers must not decide; None as a rule.
    """

    scorer: str
    result: PairedResult
    errors: tuple[int, int]
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedRow:
    """One row on which a scorer changed its mind from the baseline to the candidate."""

    scorer: str
    baseline: EvaluatedRow
    candidate: EvaluatedRow


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A candidate against its baseline. `unpaired` counts rows without a partner, by version."""

    baseline: EvaluatedRun
    candidate: EvaluatedRun
    dataset: str | None
    digest: str
    rows: int
    unpaired: tuple[int, int]
    metrics: tuple[ScorerComparison, ...]
    pass_to_fail: tuple[ChangedRow, ...]
    fail_to_pass: tuple[ChangedRow, ...]

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
    def rows_to_decide(self) -> int:
        """Below this number of rows no result could have been significant."""
        return fewest_decisive_rows(max(1, sum(metric.result.p_adjusted is not None for metric in self.metrics)))


def compare_runs(baseline: EvaluatedRun, candidate: EvaluatedRun, *, margin: float) -> Comparison:
    """Pair the rows of two runs and compare every scorer.

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
    scorers = tuple(dict.fromkeys((*baseline.scorers, *candidate.scorers)))
    notes = {scorer: _note(scorer, baseline, candidate) for scorer in scorers}
    comparable = {scorer: _counts(scorer, pairs) for scorer in scorers if notes[scorer] is None}
    results = compare_paired(comparable, margin=margin)
    for scorer in scorers:
        if notes[scorer] is not None:
            results[scorer] = _descriptive(_counts(scorer, pairs), margin)
    same_content = baseline.digest is not None and baseline.digest == candidate.digest
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        dataset=candidate.dataset or baseline.dataset,
        digest=baseline.digest if same_content and baseline.digest else rows_digest([pair[0].inputs for pair in pairs]),
        rows=len(pairs),
        unpaired=(len(baseline.rows) - len(pairs), len(candidate.rows) - len(pairs)),
        metrics=tuple(
            ScorerComparison(scorer=scorer, result=results[scorer], errors=_errors(scorer, pairs), note=notes[scorer])
            for scorer in scorers
        ),
        pass_to_fail=tuple(_changed(scorers, pairs, "pass", "fail")),
        fail_to_pass=tuple(_changed(scorers, pairs, "fail", "pass")),
    )


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


def _labels(scorer: str, pair: Pair) -> tuple[str | None, str | None]:
    first, second = (row.verdict(scorer) for row in pair)
    return (None if first is None else first.label, None if second is None else second.label)


def _counts(scorer: str, pairs: Iterable[Pair]) -> PairCounts:
    labels = [_labels(scorer, pair) for pair in pairs]
    return PairCounts(
        both_pass=labels.count(("pass", "pass")),
        pass_to_fail=labels.count(("pass", "fail")),
        fail_to_pass=labels.count(("fail", "pass")),
        both_fail=labels.count(("fail", "fail")),
    )


def _errors(scorer: str, pairs: Iterable[Pair]) -> tuple[int, int]:
    labels = [_labels(scorer, pair) for pair in pairs]
    return sum(first == "error" for first, _ in labels), sum(second == "error" for _, second in labels)


def _changed(scorers: Iterable[str], pairs: Sequence[Pair], before: str, after: str) -> Iterable[ChangedRow]:
    for scorer in scorers:
        for pair in pairs:
            if _labels(scorer, pair) == (before, after):
                yield ChangedRow(scorer=scorer, baseline=pair[0], candidate=pair[1])


def _note(scorer: str, baseline: EvaluatedRun, candidate: EvaluatedRun) -> str | None:
    for run in (baseline, candidate):
        if scorer not in run.scorers:
            return f"only one run has this scorer, {run.version} has not"
    first, second = baseline.scorer_versions.get(scorer), candidate.scorer_versions.get(scorer)
    if first is not None and second is not None and first != second:
        return f"the scorer's versions differ: {first} and {second}"
    return None


def _descriptive(counts: PairCounts, margin: float) -> PairedResult:
    """Rates of verdicts that two different scorers gave: they may be looked at, and prove nothing."""
    alone = compare_paired({"": counts}, margin=margin)[""]
    return PairedResult(
        counts=counts,
        baseline_rate=alone.baseline_rate,
        candidate_rate=alone.candidate_rate,
        difference=alone.difference,
        ci_low=None,
        ci_high=None,
        p_mid=None,
        p_exact=None,
        p_adjusted=None,
        verdict="inconclusive",
        rows_needed=None,
    )


def _mean(rates: Iterable[float | None]) -> float | None:
    defined = [rate for rate in rates if rate is not None]
    return sum(defined) / len(defined) if defined else None


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The object that `compare --json` prints.

    Two keys come only with something to say: `note` of a metric that must not decide, and `unpaired` rows.
    """
    value: dict[str, Any] = {
        "dataset": {"name": comparison.dataset, "digest": comparison.digest, "rows": comparison.rows},
        "baseline": _version_json(comparison.baseline, comparison.baseline_overall),
        "candidate": _version_json(comparison.candidate, comparison.candidate_overall),
        "overall_difference": comparison.overall_difference,
        "metrics": [_metric_json(metric) for metric in comparison.metrics],
        "pass_to_fail": [_changed_json(row) for row in comparison.pass_to_fail],
        "fail_to_pass": [_changed_json(row) for row in comparison.fail_to_pass],
        "regressed": comparison.regressed,
    }
    if any(comparison.unpaired):
        value["unpaired"] = {"baseline": comparison.unpaired[0], "candidate": comparison.unpaired[1]}
    return value


def _version_json(run: EvaluatedRun, overall: float | None) -> dict[str, Any]:
    return {"version": run.version, "run_id": run.run_id, "overall": overall}


def _metric_json(metric: ScorerComparison) -> dict[str, Any]:
    result = metric.result
    value: dict[str, Any] = {
        "scorer": metric.scorer,
        "baseline": result.baseline_rate,
        "candidate": result.candidate_rate,
        "difference": result.difference,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "p_value": result.p_mid,
        "p_exact": result.p_exact,
        "p_adjusted": result.p_adjusted,
        "pass_to_fail": result.counts.pass_to_fail,
        "fail_to_pass": result.counts.fail_to_pass,
        "n_paired": result.counts.rows,
        "errors": {"baseline": metric.errors[0], "candidate": metric.errors[1]},
        "verdict": result.verdict,
        "rows_needed": result.rows_needed,
    }
    if metric.note is not None:
        value["note"] = metric.note
    return value


def _changed_json(changed: ChangedRow) -> dict[str, Any]:
    def side(row: EvaluatedRow) -> dict[str, Any]:
        verdict = row.verdict(changed.scorer)
        rationale = None if verdict is None else verdict.rationale
        return {"trace_id": row.trace_id, "outputs": row.outputs, "rationale": rationale}

    return {
        "scorer": changed.scorer,
        "inputs": changed.baseline.inputs,
        "baseline": side(changed.baseline),
        "candidate": side(changed.candidate),
    }
