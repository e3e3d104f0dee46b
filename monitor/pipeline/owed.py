"""Work that the stream no longer brings: parked verdicts under the budget, and verdicts that MLflow has not got."""

from collections.abc import Callable

from monitor.ledger.rows import ParkedRow
from monitor.pipeline.effects import Effects

_BATCH = 50
_MINUTE_MS = 60_000


def work_off_parked(effects: Effects, is_ours: Callable[[], bool] = lambda: True) -> int:
    """Judge what was parked, as far as the budget has room; returns how many verdicts that gave.

    Only the lease holder calls this, so that no two replicas judge the same trace; it ends when `is_ours` says that
    the lease is another's.

    Raises:
        ServiceUnavailable | JudgeUnavailable: the daemon stops before the service answered.
    """
    ledger, policy = effects.ledger, effects.policy
    done = 0
    for row in ledger.intake.parked(_BATCH, scorers=policy.scorers):
        # One at a time: a grant for a call that is not made, because the daemon stops, is lost for an hour.
        minute, per_hour = effects.clock.now_ms() // _MINUTE_MS, policy.judge_calls_per_hour
        if not is_ours() or (per_hour is not None and not ledger.budget.reserve_calls(1, minute, per_hour)):
            break
        _judge_parked(effects, row)
        effects.publish(row.trace_id)
        done += 1
    return done


def _judge_parked(effects: Effects, row: ParkedRow) -> None:
    trace = effects.patience.call("mlflow", lambda: effects.traces.get(row.trace_id))
    if trace is None:
        effects.judging.record_missing(row.trace, row.decision)
    else:
        effects.judging.judge(trace, row.trace, row.decision)


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
