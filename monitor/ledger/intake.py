"""Traces, the decisions on them and their verdicts: what makes a redelivery repeat nothing."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, literal_column, select, update

from monitor.ledger.database import Database, insert, insert_once, values_of
from monitor.ledger.rows import Claim, DecisionRow, EventPosition, ParkedRow, TraceRow, VerdictRow
from monitor.ledger.schema import decisions, traces, verdicts

Arrival = tuple[TraceRow, Sequence[DecisionRow]]
"""A trace and what sampling decided for it."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Who owns a trace, what is owed for it, and the verdicts, of which the first stands."""

    database: Database

    def claim(self, trace: TraceRow, decided: Sequence[DecisionRow]) -> Claim:
        """Take in one trace; see `claim_all`.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        return self.claim_all([(trace, decided)])[0]

    def claim_all(self, arrivals: Sequence[Arrival]) -> list[Claim]:
        """Take in traces with what sampling decided, in one transaction; answers stand in the order given.

        The first event that brings a trace owns it for ever. Its decisions stay as they were first made; a subject that
        is new since (a scorer added to the configuration) gets the decision given now. A duplicate changes nothing.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        # One order for everybody, so that two replicas never wait for each other's rows in a circle.
        order = sorted(range(len(arrivals)), key=lambda i: (arrivals[i][0].trace_id, arrivals[i][0].position))
        claims: dict[int, Claim] = {}
        with self.database.write() as connection:
            for index in order:
                claims[index] = _claim(connection, *arrivals[index])
        return [claims[index] for index in range(len(arrivals))]

    def give_back(self, trace: TraceRow) -> None:
        """Undo a claim by this very event of which nothing came: whoever brings the trace next owns it.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            if _own(connection, trace) not in {None, trace.position} or _scored(connection, trace.trace_id):
                return
            connection.execute(delete(decisions).where(decisions.c.trace_id == trace.trace_id))
            connection.execute(delete(traces).where(traces.c.trace_id == trace.trace_id))

    def promote(self, trace: TraceRow, subject: str, reason: str) -> None:
        """Note that something has brought a trace into a dataset that sampling had left it out of.

        It came late and for what it is, so that it stands for no other trace: its probability is 0. What sampling
        itself has kept stays as it was decided.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        decided = {"kept": True, "probability": 0.0, "reason": reason, "state": "member"}
        key = {"trace_id": trace.trace_id, "subject": subject, "event_time_ms": trace.event_time_ms}
        with self.database.write() as connection:
            statement = insert(connection, decisions).values(key | decided)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["trace_id", "subject"], set_=decided, where=~decisions.c.kept
                )
            )

    def park(self, trace_id: str, scorers: Iterable[str]) -> None:
        """Put off verdicts that are due: the trace's offset may pass, the verdicts stay owed.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            connection.execute(
                update(decisions)
                .where(
                    decisions.c.trace_id == trace_id,
                    decisions.c.subject.in_(sorted(scorers)),
                    decisions.c.state == "due",
                )
                .values(state="parked")
            )

    def record(self, verdict: VerdictRow) -> bool:
        """Write a verdict and settle what was owed, in one transaction. False if one is there, which stands.

        Raises:
            LedgerUnavailable: the database does not answer; ask again, a verdict that was written stays the first.
        """
        values = values_of(verdict) | {"published": int(verdict.published)}
        with self.database.write() as connection:
            first = insert_once(connection, verdicts, values)
            # Settled as well where a verdict has outlived its trace, which was then taken in anew: it is owed no more.
            connection.execute(
                update(decisions)
                .where(
                    decisions.c.trace_id == verdict.trace_id,
                    decisions.c.subject == verdict.scorer,
                    decisions.c.state.in_(("due", "parked")),
                )
                .values(state="scored")
            )
        return first

    def trace_of(self, trace_id: str) -> TraceRow | None:
        """The trace as it was taken in.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(select(traces).where(traces.c.trace_id == trace_id)).mappings().first()
        return None if found is None else TraceRow(**found)

    def decisions_of(self, trace_id: str) -> list[DecisionRow]:
        """What was decided for it, by subject.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            return list(_decisions(connection, trace_id))

    def verdicts_of(self, trace_id: str) -> list[VerdictRow]:
        """Its verdicts, by scorer.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(verdicts).where(verdicts.c.trace_id == trace_id).order_by(verdicts.c.scorer)
            )
            return [_verdict(row) for row in found.mappings()]

    def mark_published(self, trace_id: str, scorers: Iterable[str]) -> None:
        """Note that the assessments made from these verdicts are in MLflow.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            connection.execute(
                update(verdicts)
                .where(verdicts.c.trace_id == trace_id, verdicts.c.scorer.in_(sorted(scorers)))
                .values(published=1)
            )

    def unpublished(self, limit: int) -> list[VerdictRow]:
        """Verdicts whose assessments may not be in MLflow yet, the oldest judgement first.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = verdicts.c
        with self.database.read() as connection:
            found = connection.execute(
                select(verdicts)
                .where(row.published == literal_column("0"))
                .order_by(row.judged_at_ms, row.trace_id, row.scorer)
                .limit(limit)
            )
            return [_verdict(each) for each in found.mappings()]

    def parked_counts(self) -> dict[str, int]:
        """How many verdicts are owed, by scorer.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(decisions.c.subject, func.count())
                .where(decisions.c.state == literal_column("'parked'"))
                .group_by(decisions.c.subject)
            )
            return {scorer: int(count) for scorer, count in found}

    def parked(
        self, limit: int, *, newest_first: bool = False, scorers: Collection[str] | None = None
    ) -> list[ParkedRow]:
        """Verdicts that are owed, in the order of their traces' time; `scorers` leaves out those not configured now.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        order = [decisions.c.event_time_ms, decisions.c.trace_id, decisions.c.subject]
        owed = (
            select(decisions.c.trace_id, *_DECISION_COLUMNS)
            .where(decisions.c.state == literal_column("'parked'"))
            .order_by(*(column.desc() if newest_first else column for column in order))
            .limit(limit)
        )
        if scorers is not None:
            owed = owed.where(decisions.c.subject.in_(sorted(scorers)))
        with self.database.read() as connection:
            rows = connection.execute(owed).mappings().all()
            wanted = sorted({row["trace_id"] for row in rows})
            found = connection.execute(select(traces).where(traces.c.trace_id.in_(wanted)))
            by_id = {row["trace_id"]: TraceRow(**row) for row in found.mappings()}
        return [
            ParkedRow(
                trace_id=row["trace_id"],
                scorer=row["subject"],
                decision=DecisionRow(**{column.name: row[column.name] for column in _DECISION_COLUMNS}),
                trace=by_id[row["trace_id"]],
            )
            for row in rows
        ]


_DECISION_COLUMNS = (
    decisions.c.subject,
    decisions.c.kept,
    decisions.c.probability,
    decisions.c.reason,
    decisions.c.state,
)


def _claim(connection: Connection, trace: TraceRow, decided: Sequence[DecisionRow]) -> Claim:
    owner = _own(connection, trace)
    new = owner is None
    if owner is not None and owner != trace.position:
        return Claim(
            outcome="duplicate",
            scored=_scored(connection, trace.trace_id),
            owner=owner,
            decisions=_decisions(connection, trace.trace_id),
        )
    rows: list[dict[str, Any]] = [
        values_of(decision) | {"trace_id": trace.trace_id, "event_time_ms": trace.event_time_ms}
        for decision in sorted(decided, key=lambda decision: decision.subject)
    ]
    if rows:
        connection.execute(insert(connection, decisions).on_conflict_do_nothing(), rows)
    return Claim(
        outcome="new" if new else "again",
        scored=frozenset() if new else _scored(connection, trace.trace_id),
        owner=trace.position,
        decisions=_decisions(connection, trace.trace_id),
    )


def _own(connection: Connection, trace: TraceRow) -> EventPosition | None:
    """Take the trace for its event: None if it is new, else the position of the event that owns it."""
    row = traces.c
    # Shared with nobody who would delete it; one that retention has just deleted is new again.
    wanted = (
        select(row.topic, row.partition, row.offset)
        .where(row.trace_id == trace.trace_id)
        .with_for_update(read=True, key_share=True)
    )
    while not insert_once(connection, traces, values_of(trace)):
        owner = connection.execute(wanted).mappings().first()
        if owner is not None:
            return EventPosition(**owner)
    return None


def _scored(connection: Connection, trace_id: str) -> frozenset[str]:
    found = connection.execute(select(verdicts.c.scorer).where(verdicts.c.trace_id == trace_id))
    return frozenset(found.scalars())


def _decisions(connection: Connection, trace_id: str) -> tuple[DecisionRow, ...]:
    found = connection.execute(
        select(*_DECISION_COLUMNS).where(decisions.c.trace_id == trace_id).order_by(decisions.c.subject)
    )
    return tuple(DecisionRow(**row) for row in found.mappings())


def _verdict(row: RowMapping) -> VerdictRow:
    return VerdictRow(**(dict(row) | {"published": bool(row["published"])}))
