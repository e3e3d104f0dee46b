"""Work that the stream no longer brings: parked verdicts under the budget, and verdicts that MLflow has not got."""

import queue
from collections.abc import Callable, Iterable
from functools import partial

from monitor.ledger.rows import ParkedRow
from monitor.pipeline.effects import Effects
from monitor.pipeline.workers import Workers
from monitor.spend.spending import SpendExhausted
from monitor.traces.errors import TraceRejected

_BATCH = 200
_MINUTE_MS = 60_000


def work_off_parked(
    effects: Effects, is_ours: Callable[[], bool] = lambda: True, *, workers: int = 1, newest_first: bool = False
) -> int:
    """Judge what was parked, as far as the budget and the day's spend have room; returns how many verdicts that gave.

    Only the lease holder calls this, so that no two replicas judge the same trace; it begins nothing more once
    `is_ours` says that the lease is another's.

    Args:
        effects: of this replica.
        is_ours: whether the lease is held.
        workers: how many verdicts are judged at once.
        newest_first: begin with the newest traces.

    Raises:
        ServiceUnavailable | JudgeUnavailable: the daemon stops before the service answered.
    """
    ledger, policy = effects.ledger, effects.policy
    rows = ledger.intake.parked(_BATCH, newest_first=newest_first, scorers=policy.scorers)
    return (
        _Parallel(workers, lambda row: _judge_parked(effects, row)).run(_granted(effects, rows, is_ours)) if rows else 0
    )


def _granted(effects: Effects, rows: Iterable[ParkedRow], is_ours: Callable[[], bool]) -> Iterable[ParkedRow]:
    """The rows that the budget has room for. Each asks when its turn comes: a grant that is not used is lost."""
    per_hour = effects.policy.judge_calls_per_hour
    for row in rows:
        minute = effects.clock.now_ms() // _MINUTE_MS
        if not is_ours() or (per_hour is not None and not _reserved(effects, minute, per_hour)):
            return
        yield row


def _reserved(effects: Effects, minute: int, per_hour: int) -> int:
    return effects.patience.call("ledger", lambda: effects.ledger.budget.reserve_calls(1, minute, per_hour))


def _judge_parked(effects: Effects, row: ParkedRow) -> bool:
    try:
        trace = effects.stored(row.trace_id)
    except TraceRejected as rejected:
        effects.judging.record_missing(row.trace, row.decision, f"MLflow cannot read the trace: {rejected}")
        return True
    if trace is None:
        effects.judging.record_missing(row.trace, row.decision)
    else:
        try:
            effects.judging.judge(trace, row.trace, row.decision)
        except SpendExhausted:
            return False
    effects.publish(row.trace_id)
    return True


class _Parallel:
    """Judges rows in several threads, takes no more rows than there are threads for.

    What one raised is raised when all that is under way has ended: begun anew it would be judged, and paid, twice.
    """

    def __init__(self, workers: int, judge: Callable[[ParkedRow], bool]) -> None:
        self._workers = workers
        self._judge = judge
        self._finished: queue.SimpleQueue[bool | BaseException] = queue.SimpleQueue()
        self._under_way = 0
        self._judged = 0
        self._error: BaseException | None = None

    def run(self, rows: Iterable[ParkedRow]) -> int:
        """Judge until the rows end, or one is refused; returns how many were judged."""
        pool = Workers(self._workers, "parked")
        try:
            for row in rows:
                pool.submit(partial(self._work, row))
                self._under_way += 1
                if self._under_way == self._workers and not self._take_one():
                    break
            while self._under_way:
                self._take_one()
        finally:
            pool.stop()
        if self._error is not None:
            raise self._error
        return self._judged

    def _work(self, row: ParkedRow) -> None:
        try:
            self._finished.put(self._judge(row))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self._finished.put(error)

    def _take_one(self) -> bool:
        result = self._finished.get()
        self._under_way -= 1
        if isinstance(result, BaseException):
            self._error = self._error or result
            return False
        self._judged += result
        return result


def publish_unpublished(effects: Effects, judged_before_ms: int) -> int:
    """Publish verdicts whose assessments a crash kept from MLflow; returns how many traces that were.

    Younger verdicts than `judged_before_ms` are left to the workers that have just written them.

    Raises:
        ServiceUnavailable: the daemon stops before the service answered.
    """
    left = effects.ledger.intake.unpublished(_BATCH)
    traces = {verdict.trace_id for verdict in left if verdict.judged_at_ms < judged_before_ms}
    for trace_id in sorted(traces):
        effects.publish(trace_id)
    return len(traces)
