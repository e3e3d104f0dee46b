"""Evaluations with the rows they ran on, and the comparisons that came of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Subquery, func, select, update

from monitor.ledger.database import Database, insert_once
from monitor.ledger.lease import guard
from monitor.ledger.rows import ComparisonRow, EvaluationRow, EvaluationState, EvaluationSummary, LeaseToken
from monitor.ledger.schema import comparisons, evaluations

_SUMMARY = [column for column in evaluations.c if column.name != "rows"]


@dataclass(frozen=True, slots=True)
class Evaluations:
    """What was evaluated, on what, and with what result."""

    database: Database

    def begin(self, evaluation: EvaluationRow, token: LeaseToken | None = None) -> None:
        """Note an evaluation before its first version runs. Beginning the same id again changes nothing.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        values = {
            "id": evaluation.id,
            "dataset": evaluation.dataset,
            "digest": evaluation.digest,
            "rows": [dict(row) for row in evaluation.rows],
            "row_count": len(evaluation.rows),
            "state": "running",
            "started_at_ms": evaluation.started_at_ms,
            "runs": {},
        }
        with self.database.write() as connection:
            guard(connection, token)
            insert_once(connection, evaluations, values)

    def finish(
        self,
        evaluation_id: str,
        runs: Mapping[str, Mapping[str, Any]],
        compared: Mapping[str, Mapping[str, Any]],
        *,
        finished_at_ms: int,
        token: LeaseToken | None = None,
    ) -> bool:
        """Publish the result: version -> `{"run_id", "overall", "metrics"}`, candidate -> its comparison object.

        Returns:
            False, with nothing changed, unless the evaluation is running.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        with self.database.write() as connection:
            guard(connection, token)
            found = connection.execute(
                update(evaluations)
                .where(evaluations.c.id == evaluation_id, evaluations.c.state == "running")
                .values(
                    state="finished",
                    finished_at_ms=finished_at_ms,
                    runs={version: dict(run) for version, run in runs.items()},
                )
            )
            if found.rowcount != 1:
                return False
            for candidate, comparison in compared.items():
                values = {
                    "evaluation_id": evaluation_id,
                    "candidate": candidate,
                    "finished_at_ms": finished_at_ms,
                    "comparison": dict(comparison),
                }
                insert_once(connection, comparisons, values)
        return True

    def fail(self, evaluation_id: str, error: str, *, finished_at_ms: int) -> bool:
        """Note that an evaluation ended without a result. False, with nothing changed, unless it is running.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            found = connection.execute(
                update(evaluations)
                .where(evaluations.c.id == evaluation_id, evaluations.c.state == "running")
                .values(state="failed", finished_at_ms=finished_at_ms, error=error)
            )
            return found.rowcount == 1

    def latest(self, state: EvaluationState | None = None) -> EvaluationSummary | None:
        """The evaluation that began last, of all or of those in a state.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        wanted = select(*_SUMMARY).order_by(evaluations.c.started_at_ms.desc(), evaluations.c.id.desc()).limit(1)
        if state is not None:
            wanted = wanted.where(evaluations.c.state == state)
        with self.database.read() as connection:
            found = connection.execute(wanted).mappings().first()
        return None if found is None else EvaluationSummary(**found)

    def rows(self, evaluation_id: str) -> list[dict[str, Any]]:
        """The very rows it ran on, none for an unknown id.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(evaluations.c.rows).where(evaluations.c.id == evaluation_id)
            ).scalar_one_or_none()
        return list(found or [])

    def comparisons(self, candidates: Collection[str]) -> list[ComparisonRow]:
        """The latest comparison of each of these candidates, by its name.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        if not candidates:
            return []
        latest = latest_comparisons()
        with self.database.read() as connection:
            found = connection.execute(
                select(comparisons)
                .join(
                    latest,
                    (latest.c.evaluation_id == comparisons.c.evaluation_id)
                    & (latest.c.candidate == comparisons.c.candidate),
                )
                .where(comparisons.c.candidate.in_(sorted(candidates)))
                .order_by(comparisons.c.candidate)
            )
            return [ComparisonRow(**each) for each in found.mappings()]


def latest_comparisons() -> Subquery:
    """The keys (evaluation_id, candidate) of the latest comparison of each candidate."""
    row = comparisons.c
    rank = func.row_number().over(
        partition_by=row.candidate, order_by=[row.finished_at_ms.desc(), row.evaluation_id.desc()]
    )
    ranked = select(row.evaluation_id, row.candidate, rank.label("rank")).subquery()
    return select(ranked.c.evaluation_id, ranked.c.candidate).where(ranked.c.rank == 1).subquery()
