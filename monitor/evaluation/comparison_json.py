"""A comparison as the object that `compare --json` prints.

Its keys are fixed. Further keys come only with something to say:
- of the whole: `unpaired`, `added` and `removed` rows, `app_errors`, `repeats`, `cannot_decide`, `early_stop`;
- of a metric: `note` (why it must not decide), `measure` and `pass_rates` (of graded scores), `self_agreement`,
  `repeat_errors`, `evidence` and `evidence_needed` (where the anytime test decides).
"""

from collections.abc import Sequence
from typing import Any

from monitor.evaluation.comparison import ChangedRow, Comparison, ScorerComparison
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun
from monitor.stats.paired_counts import PairCounts

ROWS_LISTED = 20


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The object, of values that JSON has; inputs and outputs are whatever the application gave."""
    return {
        "dataset": {"name": comparison.dataset, "digest": comparison.digest, "rows": comparison.rows},
        "baseline": _version_json(comparison.baseline, comparison.baseline_overall),
        "candidate": _version_json(comparison.candidate, comparison.candidate_overall),
        "overall_difference": comparison.overall_difference,
        "metrics": [_metric_json(metric) for metric in comparison.metrics],
        "pass_to_fail": [_changed_json(row) for row in comparison.pass_to_fail],
        "fail_to_pass": [_changed_json(row) for row in comparison.fail_to_pass],
        "regressed": comparison.regressed,
        **_further(comparison),
    }


def _further(comparison: Comparison) -> dict[str, Any]:
    value: dict[str, Any] = {}
    if comparison.added or comparison.removed:
        value["unpaired"] = _by_version((len(comparison.removed), len(comparison.added)))
    if comparison.added:
        value["added"] = _listed(comparison.added)
    if comparison.removed:
        value["removed"] = _listed(comparison.removed)
    if any(comparison.app_errors):
        value["app_errors"] = _by_version(comparison.app_errors)
    if comparison.repeats > 1:
        value["repeats"] = comparison.repeats
    early = comparison.early_stop
    if early is not None:
        value["early_stop"] = {
            "stopped": early.stopped,
            "rows": comparison.rows,
            "planned": early.planned,
            "answers_saved": early.answers_saved,
            "judge_calls_saved": early.judge_calls_saved,
            "decides": "evidence",
            "does_not_decide": ["p_value", "p_exact", "p_adjusted"],
        }
    if comparison.rows < comparison.rows_to_decide:
        value["cannot_decide"] = {"rows": comparison.rows, "fewest_rows": comparison.rows_to_decide}
    return value


def _by_version(counts: tuple[int, int]) -> dict[str, int]:
    return {"baseline": counts[0], "candidate": counts[1]}


def _listed(rows: Sequence[EvaluatedRow]) -> list[dict[str, Any]]:
    """The first of them: `unpaired` says how many there are."""
    return [{"trace_id": row.trace_id, "inputs": row.inputs} for row in rows[:ROWS_LISTED]]


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
        "errors": _by_version(metric.errors),
        "verdict": result.verdict,
        "rows_needed": result.rows_needed,
    }
    if result.graded and result.counts.rows:
        value |= {"measure": "mean_score", "pass_rates": _pass_rates(result.counts)}
    if metric.self_agreement is not None:
        value["self_agreement"] = metric.self_agreement
    if any(metric.repeat_errors):
        value["repeat_errors"] = _by_version(metric.repeat_errors)
    if result.evidence is not None:
        value |= {"evidence": result.evidence, "evidence_needed": result.evidence_needed}
    if metric.note is not None:
        value["note"] = metric.note
    return value


def _pass_rates(counts: PairCounts) -> dict[str, float]:
    return {
        "baseline": (counts.both_pass + counts.pass_to_fail) / counts.rows,
        "candidate": (counts.both_pass + counts.fail_to_pass) / counts.rows,
    }


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
