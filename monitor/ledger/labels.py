"""What people said of traces, and of which traces they were asked to say something."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from monitor.ledger.database import Database, insert, values_of
from monitor.ledger.label_rows import LABELS, LabelCount, LabelledVerdict, LabelRow, TraceTime, VerdictTally
from monitor.ledger.lease import guard
from monitor.ledger.rows import LeaseToken
from monitor.ledger.schema import decisions, labels, traces, verdicts

_WAITING = labels.c.state == literal_column("'waiting'")
# The literal lets both databases use the partial index.
_IS_DRAW = decisions.c.subject == literal_column(f"'{LABELS}'")
_CHANGES = ("label", "rationale", "labelled_by", "labelled_at_ms", "state", "assessments")


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels by their assessment ids; of one id the latest word stands."""

    database: Database

    def record(self, label: LabelRow) -> None:
        """Keep a label, or what the same person now says instead; of no effect where that is there already.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            _upsert(connection, label)

    def align(self, trace_ids: Collection[str], found: Iterable[LabelRow], token: LeaseToken | None = None) -> None:
        """Make the labels from MLflow of these traces those that were found there: some may have been deleted.

        Raises:
            LedgerUnavailable: the database does not answer.
            LeaseLost: the token is given and no longer holds; nothing is changed.
        """
        rows = sorted(found, key=lambda row: row.id)
        with self.database.write() as connection:
            guard(connection, token)
            for row in rows:
                _upsert(connection, row)
            connection.execute(
                delete(labels).where(
                    labels.c.trace_id.in_(sorted(trace_ids)),
                    labels.c.origin == "mlflow",
                    labels.c.id.not_in([row.id for row in rows]),
                )
            )

    def of(self, trace_id: str) -> list[LabelRow]:
        """All labels of a trace, in the order in which they were given.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(labels).where(labels.c.trace_id == trace_id).order_by(labels.c.labelled_at_ms, labels.c.id)
            )
            return [LabelRow(**row) for row in found.mappings()]

    def waiting_of(self, trace_id: str) -> list[LabelRow]:
        """Labels of a trace that MLflow does not show yet, in the order in which they were given.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(labels)
                .where(labels.c.trace_id == trace_id, _WAITING)
                .order_by(labels.c.labelled_at_ms, labels.c.id)
            )
            return [LabelRow(**row) for row in found.mappings()]

    def traces_waiting(self, since_ms: int, limit: int) -> list[str]:
        """Traces that the ledger knows and whose labels from `since_ms` on MLflow does not show yet.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(
                select(labels.c.trace_id)
                .join(traces, traces.c.trace_id == labels.c.trace_id)
                .where(_WAITING, labels.c.labelled_at_ms >= since_ms)
                .group_by(labels.c.trace_id)
                .order_by(func.min(labels.c.labelled_at_ms), labels.c.trace_id)
                .limit(limit)
            )
            return list(found.scalars())

    def mark_published(self, shown: Iterable[LabelRow]) -> None:
        """Note that MLflow shows these labels as they were read; one that has changed since waits on.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            for row in sorted(shown, key=lambda each: each.id):
                # The trace may have come after its label.
                facts = _facts_of(connection, row)
                connection.execute(
                    update(labels)
                    .where(labels.c.id == row.id, labels.c.labelled_at_ms == row.labelled_at_ms)
                    .values(state="published", **facts)
                )

    def drawn(self, since_ms: int, after: TraceTime | None, limit: int) -> list[TraceTime]:
        """Traces of this time and later that were drawn for labelling, in the order of their time; `after` goes on.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = decisions.c
        wanted = select(row.trace_id, row.event_time_ms).where(_IS_DRAW, row.kept, row.event_time_ms >= since_ms)
        return self._page(wanted, row.event_time_ms, row.trace_id, after, limit)

    def undrawn(self, since_ms: int, after: TraceTime | None, limit: int) -> list[TraceTime]:
        """The other traces of this time and later, in the same way.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = traces.c
        is_drawn = exists().where(decisions.c.trace_id == row.trace_id, _IS_DRAW, decisions.c.kept)
        wanted = select(row.trace_id, row.event_time_ms).where(row.event_time_ms >= since_ms, ~is_drawn)
        return self._page(wanted, row.event_time_ms, row.trace_id, after, limit)

    def _page(
        self,
        wanted: Select[tuple[str, int]],
        time_ms: ColumnElement[int],
        trace_id: ColumnElement[str],
        after: TraceTime | None,
        limit: int,
    ) -> list[TraceTime]:
        if after is not None:
            later = and_(time_ms == after.event_time_ms, trace_id > after.trace_id)
            wanted = wanted.where(time_ms >= after.event_time_ms).where(or_(time_ms > after.event_time_ms, later))
        with self.database.read() as connection:
            found = connection.execute(wanted.order_by(time_ms, trace_id).limit(limit))
            return [TraceTime(**each) for each in found.mappings()]

    def drawn_count(self, since_ms: int) -> int:
        """How many traces of this time and later were drawn.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            return connection.execute(
                select(func.count()).where(_IS_DRAW, decisions.c.kept, decisions.c.event_time_ms >= since_ms)
            ).scalar_one()

    def counts(self, since_ms: int) -> list[LabelCount]:
        """How many labels each name has on traces of this time and later, those on drawn traces apart.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = labels.c
        sums = [func.sum(case((row.label == label, 1), else_=0)) for label in ("pass", "fail", "error")]
        with self.database.read() as connection:
            found = connection.execute(
                select(row.scorer, row.drawn, *sums)
                .where(row.event_time_ms >= since_ms)
                .group_by(row.scorer, row.drawn)
                .order_by(row.scorer, row.drawn.desc())
            ).all()
        return [
            LabelCount(scorer=scorer, drawn=drawn, passed=int(passed), failed=int(failed), unread=int(unread))
            for scorer, drawn, passed, failed, unread in found
        ]

    def labelled_verdicts(self, since_ms: int) -> list[LabelledVerdict]:
        """Passes and fails on drawn traces of this time and later that a person has labelled, the latest label each.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        wanted = (
            select(
                labels.c.trace_id,
                labels.c.scorer,
                verdicts.c.scorer_version,
                labels.c.label.label("human"),
                verdicts.c.label.label("judge"),
                (1.0 / (verdicts.c.probability * labels.c.probability)).label("weight"),
                (1.0 / verdicts.c.probability).label("verdict_weight"),
            )
            .join(verdicts, and_(verdicts.c.trace_id == labels.c.trace_id, verdicts.c.scorer == labels.c.scorer))
            .where(
                labels.c.event_time_ms >= since_ms,
                labels.c.drawn,
                labels.c.probability > 0,
                labels.c.label.in_(("pass", "fail")),
                verdicts.c.label.in_(("pass", "fail")),
                verdicts.c.probability > 0,
            )
            .order_by(labels.c.labelled_at_ms, labels.c.id)
        )
        with self.database.read() as connection:
            found = [LabelledVerdict(**row) for row in connection.execute(wanted).mappings()]
        # Later ones take the places of earlier ones, and the order of these.
        return list({(each.trace_id, each.scorer): each for each in found}.values())

    def tallies(self, since_ms: int, scorers: Collection[str]) -> dict[str, list[VerdictTally]]:
        """Scorer -> the verdicts of each of its versions on traces of this time and later, those of weight 0 left out.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        if not scorers:
            return {}
        row = verdicts.c
        weight = 1.0 / row.probability
        wanted = (
            select(
                row.scorer,
                row.scorer_version,
                row.label,
                func.count().label("count"),
                func.sum(weight).label("weight"),
                func.sum(weight * weight).label("squares"),
                func.max(row.judged_at_ms).label("newest_ms"),
            )
            .where(row.event_time_ms >= since_ms, row.probability > 0, row.scorer.in_(sorted(scorers)))
            .group_by(row.scorer, row.scorer_version, row.label)
        )
        found: defaultdict[str, list[VerdictTally]] = defaultdict(list)
        with self.database.read() as connection:
            for each in connection.execute(wanted).mappings():
                found[each["scorer"]].append(VerdictTally(**each))
        return dict(found)


def _upsert(connection: Connection, row: LabelRow) -> None:
    values = values_of(row) | _facts_of(connection, row)
    statement = insert(connection, labels).values(values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["id"],
            set_={name: statement.excluded[name] for name in _CHANGES},
            where=statement.excluded.labelled_at_ms > labels.c.labelled_at_ms,
        )
    )


def _facts_of(connection: Connection, row: LabelRow) -> dict[str, object]:
    """What the ledger knows of the label's trace: whether it was drawn, how likely that was, and its time."""
    draw = connection.execute(
        select(decisions.c.probability).where(decisions.c.trace_id == row.trace_id, _IS_DRAW, decisions.c.kept)
    ).scalar_one_or_none()
    time_ms = connection.execute(
        select(traces.c.event_time_ms).where(traces.c.trace_id == row.trace_id)
    ).scalar_one_or_none()
    return {
        "drawn": draw is not None,
        "probability": draw,
        "event_time_ms": row.event_time_ms if time_ms is None else time_ms,
    }


def latest_version(tallies: Sequence[VerdictTally]) -> str | None:
    """The version whose verdict is the newest: the one in force. None without verdicts."""
    newest = max(tallies, key=lambda each: (each.newest_ms, each.scorer_version), default=None)
    return None if newest is None else newest.scorer_version
