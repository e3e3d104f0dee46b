"""Work that the stream no longer brings: parked verdicts under the budget, and verdicts that MLflow has not got."""

from collections.abc import Iterable

from monitor.ledger.rows import ParkedRow
from monitor.pipeline.effects import Effects

_BATCH = 50
_MINUTE_MS = 60_000


def work_off_parked(effects: Effects) -> int:
    """Judge what was parked, as far as the budget has room; returns how many verdicts that gave.

    Only the lease holder calls this, so that no two replicas judge the same trace.

    Raises:
        ServiceUnavailable | JudgeUnavailable: the daemon stops before the service answered.
    """
    ledger, policy = effects.ledger, effects.policy
    owed = ledger.intake.parked(_BATCH, scorers=policy.scorers)
    granted = len(owed)
    if owed and policy.judge_calls_per_hour is not None:
        minute = effects.clock.now_ms() // _MINUTE_MS
        granted = ledger.budget.reserve_calls(len(owed), minute, policy.judge_calls_per_hour)
    for row in owed[:granted]:
        _judge_parked(effects, row)
    _publish_all(effects, {row.trace_id for row in owed[:granted]})
    return granted


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
    _publish_all(effects, traces)
    return len(traces)


def _publish_all(effects: Effects, trace_ids: Iterable[str]) -> None:
    for trace_id in sorted(trace_ids):
        effects.publish(trace_id)
