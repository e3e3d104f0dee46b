"""What is forgotten when its time is over, in transactions so small that no writer waits long.

Never what is still owed or unpublished, what the dataset's active members came of, or a count: the accounting is the
same before and after.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, exists, func, literal_column, select, tuple_

from monitor.ledger.database import Database
from monitor.ledger.evaluations import latest_comparisons
from monitor.ledger.lease import guard
from monitor.ledger.rows import LeaseToken
from monitor.ledger.schema import (
    alerts,
    blocks,
    budget_calls,
    budget_demand,
    budget_factors,
    comparisons,
    decisions,
    deliveries,
    evaluations,
    frozen_rows,
    jobs,
    labels,
    members,
    positions,
    replicas,
    spend,
    traces,
    verdicts,
)
from monitor.ledger.settings import RetentionSettings

BATCH_ROWS = 1_000
"""The most rows that one transaction looks for; a trace takes its decisions along."""

_BATCH_TRACES = 200
_BATCH_EVALUATIONS = 10
_REPLICA_DAYS = 1
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000

GoOn = Callable[[float], bool]
"""Called after each transaction with the seconds that it took: it may rest, and says whether to go on."""


def _at_once(_took_s: float) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Retention:
    """Deletes what is old. Only the lease holder calls it."""

    database: Database

    def prune(
        self, settings: RetentionSettings, now_ms: int, token: LeaseToken | None = None, go_on: GoOn = _at_once
    ) -> Mapping[str, int]:
        """Delete what has outlived its time; returns table -> rows deleted, a trace's decisions not counted.

        Raises:
            LedgerUnavailable: the database does not answer; what is done is done, the next call goes on.
            LeaseLost: the token is given and no longer holds; likewise.
        """
        batches = _Batches(self.database, token, go_on)
        trace_ms, verdict_ms = _before(now_ms, settings.traces), _before(now_ms, settings.verdicts)
        event_ms = _before(now_ms, settings.evaluations)
        minute = _before(now_ms, settings.counters) // _MINUTE_MS
        _prune_traces(batches, trace_ms, _before(now_ms, 2 * settings.traces))
        batches.delete(verdicts, verdicts.c.event_time_ms < verdict_ms, verdicts.c.published == literal_column("1"))
        batches.delete(blocks, blocks.c.block < verdict_ms)
        batches.delete(labels, labels.c.event_time_ms < verdict_ms, labels.c.labelled_at_ms < verdict_ms)
        # Those of the version in force are judged again and again; the others have no judge any more.
        batches.delete(frozen_rows, func.coalesce(frozen_rows.c.latest_at_ms, frozen_rows.c.frozen_at_ms) < verdict_ms)
        # Reconciled: MLflow's dataset does not hold them any more.
        batches.delete(
            members,
            members.c.event_time_ms < trace_ms,
            members.c.state == "evicted",
            members.c.revision == members.c.reconciled_revision,
        )
        batches.delete(
            alerts,
            alerts.c.state == "resolved",
            alerts.c.resolved_ms < _before(now_ms, settings.alerts),
            # The newest of these remembers the losses that it told of: without it they would be told of again.
            alerts.c.kind != "lost_to_retention",
        )
        batches.delete(deliveries, deliveries.c.alert_id.not_in(select(alerts.c.id)))
        _prune_evaluations(batches, event_ms)
        batches.delete(
            jobs,
            func.coalesce(jobs.c.last_success_ms, 0) < event_ms,
            func.coalesce(jobs.c.last_failure_ms, 0) < event_ms,
        )
        batches.delete(spend, spend.c.day < event_ms // _DAY_MS)
        for table in (budget_factors, budget_demand, budget_calls):
            batches.delete(table, table.c.minute < minute)
        batches.delete(replicas, replicas.c.seen_ms < now_ms - _REPLICA_DAYS * _DAY_MS)
        return dict(batches.deleted)


class _Batches:
    """Runs small transactions one after the other, until there is nothing left to do or it has to stop."""

    def __init__(self, database: Database, token: LeaseToken | None, go_on: GoOn) -> None:
        self.database = database
        self.deleted: Counter[str] = Counter()
        self._token = token
        self._go_on = go_on
        self._stopped = False

    def delete(self, table: Table, *old: ColumnElement[bool]) -> None:
        """Delete the rows of a table to which all of this applies."""
        key = tuple_(*table.primary_key)
        batch = delete(table).where(key.in_(select(*table.primary_key).where(*old).limit(BATCH_ROWS)))
        while self.run(table, lambda connection: connection.execute(batch).rowcount) == BATCH_ROWS:
            pass

    def run(self, table: Table, work: Callable[[Connection], int]) -> int:
        """Do one transaction's work, which returns how many rows it deleted. 0, with nothing done, when stopped."""
        if self._stopped:
            return 0
        began = time.monotonic()
        with self.database.write() as connection:
            guard(connection, self._token)
            rows = work(connection)
        self.deleted[table.name.removeprefix("tracewatch_")] += rows
        self._stopped = not self._go_on(time.monotonic() - began)
        return rows


def _prune_traces(batches: _Batches, before_ms: int, long_before_ms: int) -> None:
    """Look for old traces without holding up writers, and delete those that are old still with their decisions."""
    after_ms = -1
    while True:
        old = _is_forgettable(before_ms, long_before_ms)
        wanted = (
            select(traces.c.trace_id, traces.c.event_time_ms)
            .where(*old, traces.c.event_time_ms >= after_ms)
            .order_by(traces.c.event_time_ms)
            .limit(_BATCH_TRACES)
        )
        with batches.database.read() as connection:
            found = connection.execute(wanted).all()
        ids = [row.trace_id for row in found]
        if not ids or not batches.run(traces, partial(_delete_traces, ids=ids, old=old)) or len(ids) < _BATCH_TRACES:
            return
        after_ms = found[-1].event_time_ms


def _is_forgettable(before_ms: int, long_before_ms: int) -> list[ColumnElement[bool]]:
    row = traces.c
    owed = exists().where(decisions.c.trace_id == row.trace_id, decisions.c.state.in_(("due", "parked")))
    passed = exists().where(
        positions.c.topic == row.topic, positions.c.partition == row.partition, row.offset < positions.c.next_offset
    )
    needed = select(members.c.trace_id).where(members.c.state == literal_column("'active'"))
    return [
        row.event_time_ms < before_ms,
        ~owed,
        # An event above the watermark comes again after a crash. A topic that was made anew has no such offset.
        passed | (row.event_time_ms < long_before_ms),
        row.trace_id.not_in(needed),
    ]


def _delete_traces(connection: Connection, ids: list[str], old: list[ColumnElement[bool]]) -> int:
    # Locked first and looked at again then: a claim of the same trace is either seen here or finds the trace gone.
    lock = (
        select(traces.c.trace_id)
        .where(traces.c.trace_id.in_(ids))
        .order_by(traces.c.trace_id)
        .with_for_update(skip_locked=True)
    )
    locked = list(connection.execute(lock).scalars())
    still: Select[tuple[str]] = select(traces.c.trace_id).where(traces.c.trace_id.in_(locked), *old)
    doomed = list(connection.execute(still).scalars())
    connection.execute(delete(decisions).where(decisions.c.trace_id.in_(doomed)))
    return connection.execute(delete(traces).where(traces.c.trace_id.in_(doomed))).rowcount


def _prune_evaluations(batches: _Batches, before_ms: int) -> None:
    latest = select(latest_comparisons().c.evaluation_id)
    wanted = (
        select(evaluations.c.id)
        .where(evaluations.c.started_at_ms < before_ms, evaluations.c.id.not_in(latest))
        .order_by(evaluations.c.started_at_ms)
        .limit(_BATCH_EVALUATIONS)
    )

    def work(connection: Connection) -> int:
        doomed = list(connection.execute(wanted).scalars())
        connection.execute(delete(comparisons).where(comparisons.c.evaluation_id.in_(doomed)))
        return connection.execute(delete(evaluations).where(evaluations.c.id.in_(doomed))).rowcount

    while batches.run(evaluations, work) == _BATCH_EVALUATIONS:
        pass


def _before(now_ms: int, kept: timedelta) -> int:
    return now_ms - kept // timedelta(milliseconds=1)
