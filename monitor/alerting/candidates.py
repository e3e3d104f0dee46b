"""What the latest comparisons say of the candidates to the alert table."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from monitor.alerts.alert import EXAMPLES, RATIONALE_CHARS, Finding
from monitor.alerts.settings import Severity
from monitor.ledger.evaluations import Evaluations
from monitor.ledger.rows import AlertRow, ComparisonRow

CANDIDATE: Final = "candidate_regression"


class CandidateFindings:
    """Looks at the latest comparison of each configured candidate. `severities` holds the scorers that alert."""

    def __init__(
        self, evaluations: Evaluations, candidates: Collection[str], severities: Mapping[str, Severity]
    ) -> None:
        self._evaluations = evaluations
        self._candidates = candidates
        self._severities = severities

    def look(self, open_rows: Sequence[AlertRow], now_ms: int) -> list[Finding]:
        """One finding for each scorer of each candidate, and one for each open alert of who is watched no more.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        del now_ms
        found = candidate_findings(self._evaluations.comparisons(self._candidates), self._severities)
        segments = {_segment(candidate) for candidate in self._candidates}
        ended = [
            row
            for row in open_rows
            if row.kind == CANDIDATE and (row.scorer not in self._severities or row.segment not in segments)
        ]
        return found + [_ended(row) for row in ended]


def candidate_findings(comparisons: Iterable[ComparisonRow], severities: Mapping[str, Severity]) -> list[Finding]:
    """One finding for each scorer of each candidate's latest comparison: bad where the verdict is `regressed`."""
    return [
        _finding(row, metric, severities[metric["scorer"]])
        for row in comparisons
        for metric in row.comparison["metrics"]
        if metric["scorer"] in severities
    ]


def _segment(candidate: str) -> str:
    return f"version={candidate}"


def _finding(row: ComparisonRow, metric: Mapping[str, Any], severity: Severity) -> Finding:
    turned = [each for each in row.comparison["pass_to_fail"] if each["scorer"] == metric["scorer"]]
    shown = ("baseline", "candidate", "difference", "p_adjusted", "n_paired", "verdict")
    # Where rows could stop early the evidence has decided, and not p.
    decided = [key for key in ("evidence", "evidence_needed") if key in metric]
    return Finding(
        kind="candidate_regression",
        scorer=metric["scorer"],
        segment=_segment(row.candidate),
        severity=severity,
        bad=metric["verdict"] == "regressed",
        details={
            **{key: metric[key] for key in (*shown, *decided)},
            "difference_lower": metric["ci_low"],
            "difference_upper": metric["ci_high"],
            "evaluation": row.evaluation_id,
            "run_id": row.comparison["candidate"]["run_id"],
            "examples": [_example(each) for each in turned[:EXAMPLES]],
        },
    )


def _example(turned: Mapping[str, Any]) -> dict[str, Any]:
    """A row that the candidate failed, and the baseline's answer to it, which passed."""
    candidate, baseline = turned["candidate"], turned["baseline"]
    return {
        "trace_id": candidate["trace_id"],
        "rationale": (candidate["rationale"] or "")[:RATIONALE_CHARS],
        "good": {"trace_id": baseline["trace_id"]},
    }


def _ended(row: AlertRow) -> Finding:
    return Finding(
        kind="candidate_regression",
        scorer=row.scorer,
        segment=row.segment,
        severity="none",
        bad=False,
        details={"retired": True},
    )
