"""What must be true of every event once a fault is over, whatever became of the processes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from monitor.demo.scripted_endpoint import ScriptedEndpoint
from monitor.ledger.ledger import Ledger
from tests.acceptance.running_daemon import eventually, patience_for
from tests.faults.fault_figures import FaultFigures
from tests.faults.trial import SCORERS, assessments_of, errors_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Reckoning:
    """The ledger, MLflow and the judge of one application, looked at past every fault."""

    app: str
    ledger: Ledger
    mlflow_uri: str
    judge: ScriptedEndpoint
    judged_before: int

    @classmethod
    def begin(cls, app: str, ledger: Ledger, mlflow_uri: str, judge: ScriptedEndpoint) -> Reckoning:
        """Count judge calls from now on."""
        return cls(app=app, ledger=ledger, mlflow_uri=mlflow_uri, judge=judge, judged_before=judge.calls["judge"])

    def received(self) -> int:
        """Events past the watermarks."""
        return self.ledger.positions.received()

    def settle(
        self,
        trace_ids: Collection[str],
        *,
        received: int | None = None,
        others: dict[str, int] | None = None,
        while_true: Callable[[], bool] = lambda: True,
    ) -> FaultFigures:
        """Wait until everything is done and accounted for, and hold it against the events that came.

        Args:
            trace_ids: of the events to be scored, `PREFIX-NUMBER`, all of one prefix.
            received: events that came in all, where some are not to be scored.
            others: outcome -> events, for those.
            while_true: fails when it no longer holds.
        """
        began_s, wanted = time.monotonic(), len(trace_ids) if received is None else received
        eventually(
            lambda: self.received() >= wanted,
            f"{wanted} events past the watermarks",
            while_true=while_true,
            patience_s=patience_for(wanted),
        )
        eventually(lambda: not self.ledger.intake.unpublished(1), "every verdict published", while_true=while_true)
        recovered_s = time.monotonic() - began_s
        assert self.received() == wanted
        assert self.ledger.positions.mismatches() == []
        expected = {"scored": len(trace_ids), **(others or {})}
        found = {(row.scorer, row.outcome): row.count for row in self.ledger.positions.accounted()}
        assert found == {(scorer, outcome): count for scorer in SCORERS for outcome, count in expected.items()}
        verdicts: Counter[str] = Counter()
        for row in self.ledger.figures.verdict_counts():
            verdicts[row.scorer] += row.count if row.segment == "all" else 0
        assert verdicts == dict.fromkeys(SCORERS, len(trace_ids))
        assert errors_of(self.ledger) == 0
        prefix = next(iter(trace_ids)).rpartition("-")[0]
        return FaultFigures.of(
            trace_ids,
            assessments_of(self.mlflow_uri, self.app, prefix),
            SCORERS,
            judge_calls=self.judge.calls["judge"] - self.judged_before,
            recovered_s=recovered_s,
        )
