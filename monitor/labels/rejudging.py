"""The frozen set: labelled traces that are judged again on a schedule, to tell a judge that has moved from an app."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from mlflow.entities import Trace
from structlog.typing import FilteringBoundLogger

from monitor.alerts.alert import EXAMPLES, Finding
from monitor.alerts.settings import Severity
from monitor.clock import Clock
from monitor.errors import ServiceUnavailable
from monitor.labels.settings import LabellingSettings
from monitor.ledger.frozen import Frozen
from monitor.ledger.label_rows import FrozenRow
from monitor.ledger.labels import Labels
from monitor.ledger.rows import AlertRow, Label, LeaseToken
from monitor.spend.spending import SpendExhausted, Spending, Usage
from monitor.stats.paired_counts import mid_p
from monitor.traces.errors import TraceRejected, TraceStoreFailing
from monitor.traces.store import TraceStore
from scorers.errors import JudgeUnavailable
from scorers.suite import ScorerSuite

MOVED: Final = "judge_moved"
_OUTAGE: Final = 5
"""So many rows in a row without an answer are the judge's doing and not theirs."""

HELD_BACK: Final = "judge moved, not your app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudging:
    """Freezes labelled traces of the scorers in force and judges them again, within the spend of evaluations."""

    labels: Labels
    frozen: Frozen
    traces: TraceStore
    suite: ScorerSuite
    spending: Spending
    settings: LabellingSettings
    clock: Clock
    log: FilteringBoundLogger

    def run(self, token: LeaseToken | None) -> int:
        """Once; returns how many rows were judged.

        Raises:
            LedgerUnavailable | LeaseLost: what was judged is noted, the next run begins anew.
            TraceStoreUnavailable: likewise.
            ServiceUnavailable: the judge answers nothing; likewise.
            SpendExhausted: the day's spend leaves no room for a single row.
        """
        self._freeze(token)
        versions = self._versions
        rows = [row for row in self.frozen.all() if versions.get(row.scorer) == row.scorer_version]
        judged = 0
        unanswered: list[FrozenRow] = []
        # Those first that have waited longest: whatever ends a run early, no row is left out for ever.
        for row in sorted(rows, key=lambda row: row.latest_at_ms or 0):
            try:
                latest = self._latest(row)
            except SpendExhausted as exhausted:
                if not judged:
                    raise
                self.log.info("the frozen set is judged another time", cause=str(exhausted))
                break
            except JudgeUnavailable as outage:
                unanswered.append(row)
                if len(unanswered) == _OUTAGE or not outage.may_be_the_trace:
                    raise ServiceUnavailable(f"the judge gives no answer: {outage}") from outage
                continue
            if latest is None:
                self.frozen.drop([row], token)
                continue
            judged += 1
            # The judge has answered since: what it did not answer is no outage.
            for silent in unanswered:
                self.frozen.note_latest(silent, "error", self.clock.now_ms(), token)
            unanswered.clear()
            self.frozen.note_latest(row, latest, self.clock.now_ms(), token)
        if unanswered and not judged:
            raise ServiceUnavailable("the judge gives no answer to any row")
        return judged

    def _latest(self, row: FrozenRow) -> Label | None:
        """What the judge says of a row now; None where its trace cannot be had any more."""
        try:
            trace = self.traces.get(row.trace_id)
        except TraceRejected as rejected:
            self.log.warning("a frozen row is dropped", trace_id=row.trace_id, cause=str(rejected))
            return None
        except TraceStoreFailing as failure:
            if not self.traces.takes_writes():
                raise
            self.log.warning("a frozen row is not judged", trace_id=row.trace_id, cause=str(failure))
            return "error"
        return None if trace is None else self._judge(row, trace)

    @property
    def _versions(self) -> Mapping[str, str]:
        return {each.name: each.version for each in self.suite if each.kind == "judge"}

    def _freeze(self, token: LeaseToken | None) -> None:
        now_ms = self.clock.now_ms()
        since_ms = now_ms - self.settings.window // timedelta(milliseconds=1)
        versions = self._versions
        rows = [
            FrozenRow(
                scorer=each.scorer,
                scorer_version=each.scorer_version,
                trace_id=each.trace_id,
                human=each.human,
                frozen=each.judge,
                frozen_at_ms=now_ms,
            )
            for each in self.labels.labelled_verdicts(since_ms)
            if versions.get(each.scorer) == each.scorer_version
        ]
        self.frozen.freeze(rows, self.settings.frozen_rows, token)

    def _judge(self, row: FrozenRow, trace: Trace) -> Label:
        reservation = self.spending.reserve(row.scorer, "evaluation")
        try:
            outcome = self.suite.score(row.scorer, trace)
        except JudgeUnavailable as outage:
            self.spending.settle(reservation, Usage.of(outage))
            raise
        self.spending.settle(reservation, Usage.of(outcome))
        return outcome.verdict.label


class MovedFindings:
    """Whether a judge says something else of the frozen set than it did.

    `versions` are those in force, `severities` what the alerts of each scorer are worth, of those that alert.
    """

    def __init__(
        self, frozen: Frozen, versions: Mapping[str, str], severities: Mapping[str, Severity], alpha: float
    ) -> None:
        self._frozen = frozen
        self._versions = {scorer: version for scorer, version in versions.items() if scorer in severities}
        self._severities = severities
        self._alpha = alpha

    def look(self, open_rows: Sequence[AlertRow], now_ms: int) -> list[Finding]:
        """One finding for each scorer whose frozen set has answers, one for each open alert of a scorer without a set.

        Raises:
            LedgerUnavailable: the ledger does not answer.
        """
        del now_ms
        rows = [row for row in self._frozen.all() if self._versions.get(row.scorer) == row.scorer_version]
        found = [
            replace(finding, severity=self._severities[finding.scorer]) for finding in moved_findings(rows, self._alpha)
        ]
        # Rows without a readable answer say neither that the judge has moved nor that it has not.
        known = {row.scorer for row in rows}
        ended = {row.scorer for row in open_rows if row.kind == MOVED} - known
        return found + [_finding(scorer, bad=False) for scorer in sorted(ended)]


def moved_findings(rows: Iterable[FrozenRow], alpha: float) -> list[Finding]:
    """McNemar's mid-p of what the judge said when the rows were frozen against what it says now, scorer by scorer."""
    cells: dict[str, Counter[tuple[str, str]]] = {}
    turned: dict[str, list[str]] = {}
    for row in rows:
        if row.latest in {"pass", "fail"}:
            cells.setdefault(row.scorer, Counter())[row.frozen, str(row.latest)] += 1
            if row.latest != row.frozen:
                turned.setdefault(row.scorer, []).append(row.trace_id)
    found = []
    for scorer, counts in sorted(cells.items()):
        to_fail, to_pass = counts["pass", "fail"], counts["fail", "pass"]
        p_value = mid_p(to_fail, to_pass)
        found.append(
            _finding(
                scorer,
                bad=p_value < alpha,
                rows=counts.total(),
                pass_to_fail=to_fail,
                fail_to_pass=to_pass,
                p_value=p_value,
                examples=[{"trace_id": trace_id} for trace_id in sorted(turned.get(scorer, ()))[:EXAMPLES]],
            )
        )
    return found


def _finding(scorer: str, *, bad: bool, **details: Any) -> Finding:
    return Finding(kind="judge_moved", scorer=scorer, segment="all", severity="page", bad=bad, details=details)


def held_back(open_rows: Iterable[AlertRow], scorer: str) -> str | None:
    """Why regressions of a scorer are not told: its judge has moved, and the alert of that stands."""
    moved = any(row.kind == MOVED and row.scorer == scorer and row.state == "firing" for row in open_rows)
    return HELD_BACK if moved else None
