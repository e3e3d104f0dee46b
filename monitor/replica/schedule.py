"""When things happen by the clock: the one place that knows apscheduler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from structlog.typing import FilteringBoundLogger


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """A job that runs each `interval`."""

    interval: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A job that runs at the times of a five-field crontab expression, in UTC."""

    expression: str


def check_cron(expression: str) -> str:
    """Return the expression if it is a valid five-field crontab expression.

    Raises:
        ValueError: it is not, with the reason.
    """
    CronTrigger.from_crontab(expression, timezone="UTC")
    return expression


def deadline_s(when: Every | Cron, last_success_s: float) -> float | None:
    """When a job is overdue unless it succeeds before: its second time after the last success, so that one may fail.

    Both in seconds since the epoch; None for a schedule without such a time.
    """
    if isinstance(when, Every):
        return last_success_s + 2 * when.interval.total_seconds()
    trigger = _trigger(when)
    time: datetime | None = datetime.fromtimestamp(last_success_s, UTC)
    for _ in range(2):
        if time is None:
            return None
        time = trigger.get_next_fire_time(time, time + timedelta(microseconds=1))
    return None if time is None else time.timestamp()


Pool = Literal["default", "own", "alerts"]

# What waits for a service that is away holds its thread: a replica's signs of life, and the look for alerts, which that
# is the time for, have threads that no such job can take.
_THREADS: Mapping[Pool, int] = {"default": 8, "own": 4, "alerts": 1}


class Schedule:
    """Runs jobs in threads of their own, one run of a job at a time, as a context manager.

    A run that is skipped, because the last one still goes on or the process was away, and a job that raises are logged.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            executors={pool: ThreadPoolExecutor(threads) for pool, threads in _THREADS.items()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 60},
        )
        self._scheduler.add_listener(self._report, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)

    def add(self, name: str, when: Every | Cron, job: Callable[[], object], *, pool: Pool = "default") -> None:
        """Run `job` from now on, at the times that `when` says, by a thread of the pool."""
        self._scheduler.add_job(job, _trigger(when), id=name, name=name, executor=pool)

    def _report(self, event: JobExecutionEvent) -> None:
        if event.code == EVENT_JOB_ERROR:
            self._log.error("job failed on a defect", job=event.job_id, exc_info=event.exception)
        else:
            skipped = "still running" if event.code == EVENT_JOB_MAX_INSTANCES else "missed its time"
            self._log.warning("job skipped", job=event.job_id, reason=skipped)

    def __enter__(self) -> Self:
        """Start the clock."""
        self._scheduler.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Start no further run; a run under way is waited for."""
        self._scheduler.shutdown(wait=True)


def _trigger(when: Every | Cron) -> BaseTrigger:
    if isinstance(when, Every):
        return IntervalTrigger(seconds=when.interval.total_seconds(), timezone="UTC")
    return CronTrigger.from_crontab(when.expression, timezone="UTC")
