"""Blocks of verdicts and the series that they make: read before a block is closed, written in one transaction."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, literal_column, select, tuple_, update

from monitor.ledger.database import Database, insert, insert_once, values_of
from monitor.ledger.lease import guard
from monitor.ledger.rows import ClockRow, JudgedVerdict, LeaseToken, OpenVerdict, SeriesRow, TracedVerdict
from monitor.ledger.schema import alarm_clock, blocks, series, traces, verdicts

CLOCK = "production"
_ROWS_A_READ = 500
_PAST_A_PAGE = 5_000
_CHANGING = ("scorer_version", "first_block", "last_block", "state")

_OPEN_COLUMNS = tuple(
    verdicts.c[name]
    for name in (
        "trace_id", "scorer", "scorer_version", "label", "value", "probability",
        "segments", "app_version", "session_id", "event_time_ms",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedBlock:
    """What closing a block writes.

    Attributes:
        block: its first ms of event time; later blocks have larger ones.
        closed_at_ms: when.
        verdicts: (trace, scorer) of the verdicts in it.
        series: the series that changed, as they are now.
        retired: (scorer, segment) of the series that end.
        clock: the clock of deposits after it.
    """

    block: int
    closed_at_ms: int
    verdicts: Sequence[tuple[str, str]]
    series: Sequence[SeriesRow]
    retired: Collection[tuple[str, str]]
    clock: ClockRow


@dataclass(frozen=True, slots=True)
class Series:
    """Open verdicts, closed blocks, series. Only the lease holder closes."""

    database: Database

    def open_verdicts(self, before_ms: int, limit: int) -> list[OpenVerdict]:
        """Verdicts of no block, of traces before `before_ms`, the oldest first.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = verdicts.c
        wanted = (
            select(*_OPEN_COLUMNS)
            .where(row.block.is_(None), row.event_time_ms < before_ms)
            .order_by(row.event_time_ms, row.trace_id, row.scorer)
            .limit(limit)
        )
        with self.database.read() as connection:
            return [OpenVerdict(**found) for found in connection.execute(wanted).mappings()]

    def past(self, since_ms: int, until_ms: int) -> Iterator[list[JudgedVerdict]]:
        """Verdicts on traces of a stretch of event time, the oldest first, a page at a time.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = verdicts.c
        after: tuple[int, str, str] = (since_ms - 1, "", "")
        place = tuple_(row.event_time_ms, row.trace_id, row.scorer)
        while True:
            wanted = (
                select(*_OPEN_COLUMNS, row.judged_at_ms)
                .where(row.event_time_ms < until_ms, place > tuple_(*after))
                .order_by(row.event_time_ms, row.trace_id, row.scorer)
                .limit(_PAST_A_PAGE)
            )
            with self.database.read() as connection:
                page = [JudgedVerdict(**found) for found in connection.execute(wanted).mappings()]
            if not page:
                return
            yield page
            after = (page[-1].event_time_ms, page[-1].trace_id, page[-1].scorer)

    def last_block(self) -> int | None:
        """The newest closed block, None before the first.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            return connection.execute(select(func.max(blocks.c.block))).scalar()

    def newest_trace_ms(self) -> int | None:
        """The time of the newest trace that anything has kept; None where nothing has kept any.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            return connection.execute(select(func.max(traces.c.event_time_ms))).scalar()

    def all(self) -> list[SeriesRow]:
        """Every series, by scorer and segment.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(select(series).order_by(series.c.scorer, series.c.segment))
            return [SeriesRow(**row) for row in found.mappings()]

    def clock(self) -> ClockRow | None:
        """The clock of deposits, None before the first block.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        columns = [column for column in alarm_clock.c if column.name != "name"]
        with self.database.read() as connection:
            found = connection.execute(select(*columns).where(alarm_clock.c.name == CLOCK)).mappings().first()
        return None if found is None else ClockRow(**found)

    def close(self, closed: ClosedBlock, token: LeaseToken | None) -> None:
        """Write a block, its verdicts' membership and the series that it changed, in one transaction.

        Raises:
            LedgerUnavailable: the database does not answer; nothing is written.
            LeaseLost: the token no longer holds; nothing is written.
        """
        with self.database.write() as connection:
            guard(connection, token)
            row = {"block": closed.block, "closed_at_ms": closed.closed_at_ms, "verdicts": len(closed.verdicts)}
            insert_once(connection, blocks, row)
            _join(connection, closed.block, closed.verdicts)
            for scorer, segment in sorted(closed.retired):
                connection.execute(delete(series).where(series.c.scorer == scorer, series.c.segment == segment))
            _upsert(connection, closed.series)
            _set_clock(connection, closed.clock)

    def since(self, scorer: str, segment: str, since_ms: int, limit: int) -> list[TracedVerdict]:
        """Verdicts of a series in blocks from `since_ms` on, the newest first, with what the trace was about.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        return self._traced(scorer, segment, since_ms, limit, verdicts.c.label != literal_column("'error'"))

    def passes_before(self, scorer: str, inputs: Collection[str], before_ms: int) -> Mapping[str, str]:
        """Of each inputs digest the newest trace before `before_ms` that passed: digest -> trace id.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = verdicts.c
        newest = (
            select(traces.c.trace_id)
            .join(verdicts, row.trace_id == traces.c.trace_id)
            .where(
                traces.c.inputs_digest == bindparam("digest"),
                row.scorer == scorer,
                row.label == "pass",
                row.event_time_ms < before_ms,
            )
            .order_by(row.event_time_ms.desc())
            .limit(1)
        )
        with self.database.read() as connection:
            found = {digest: connection.execute(newest, {"digest": digest}).scalar() for digest in sorted(inputs)}
        return {digest: trace_id for digest, trace_id in found.items() if trace_id is not None}

    def _traced(self, scorer: str, segment: str, since_ms: int, limit: int, *more: Any) -> list[TracedVerdict]:
        row = verdicts.c
        wanted = (
            select(*_OPEN_COLUMNS, row.rationale, traces.c.inputs_digest)
            .outerjoin(traces, traces.c.trace_id == row.trace_id)
            .where(row.scorer == scorer, row.block >= since_ms, row.probability > 0, *more)
            .order_by(row.event_time_ms.desc(), row.trace_id)
        )
        found: list[TracedVerdict] = []
        with self.database.read() as connection:
            # Segments are JSON text: which series a verdict belongs to is told here, row by row.
            result = connection.execution_options(yield_per=_ROWS_A_READ).execute(wanted).mappings()
            for each in result:
                verdict = TracedVerdict(**each)
                if segment == "all" or segment in verdict.segment_names:
                    found.append(verdict)
                if len(found) == limit:
                    break
        return found


def _join(connection: Connection, block: int, keys: Sequence[tuple[str, str]]) -> None:
    if not keys:
        return
    statement = (
        update(verdicts)
        .where(
            verdicts.c.trace_id == bindparam("of_trace"),
            verdicts.c.scorer == bindparam("by_scorer"),
            verdicts.c.block.is_(None),
        )
        .values(block=block)
    )
    connection.execute(statement, [{"of_trace": trace_id, "by_scorer": scorer} for trace_id, scorer in keys])


def _upsert(connection: Connection, rows: Sequence[SeriesRow]) -> None:
    if not rows:
        return
    statement = insert(connection, series)
    changed = {name: statement.excluded[name] for name in _CHANGING}
    upsert = statement.on_conflict_do_update(index_elements=["scorer", "segment"], set_=changed)
    connection.execute(upsert, [values_of(row) for row in rows])


def _set_clock(connection: Connection, clock: ClockRow) -> None:
    values = values_of(clock)
    statement = insert(connection, alarm_clock).values(name=CLOCK, **values)
    changed = {name: statement.excluded[name] for name in values}
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed))
