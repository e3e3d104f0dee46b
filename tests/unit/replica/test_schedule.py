"""The schedule: jobs run at their times, one run of a job at a time, and what goes wrong is logged."""

import threading
from datetime import UTC, datetime, timedelta
from queue import Queue
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from monitor.replica.schedule import Cron, Every, Schedule, check_cron, deadline_s

SOON = Every(interval=timedelta(milliseconds=20))
PATIENCE_S = 10.0


class Log(CapturingLogger):
    """Keeps what is logged, and wakes the test at each line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Queue[tuple[str, str, dict[str, Any]]] = Queue()

    def error(self, event: str, **values: Any) -> None:
        """Keep an error."""
        self.lines.put(("error", event, values))

    def warning(self, event: str, **values: Any) -> None:
        """Keep a warning."""
        self.lines.put(("warning", event, values))


def test_a_job_runs_again_and_again() -> None:
    """An interval's job is called at each interval while the context is open."""
    calls: Queue[None] = Queue()
    schedule = Schedule(Log())
    schedule.add("job", SOON, lambda: calls.put(None))
    with schedule:
        for _ in range(3):
            calls.get(timeout=PATIENCE_S)


def test_signs_of_life_do_not_wait_for_jobs_that_wait() -> None:
    """While a service is away every thread of the ordinary jobs may be held."""
    go_on, waiting, calls = threading.Event(), Queue[None](), Queue[None]()

    def wait() -> None:
        waiting.put(None)
        go_on.wait(PATIENCE_S)

    schedule = Schedule(Log())
    for number in range(8):
        schedule.add(f"waits {number}", SOON, wait)
    schedule.add("lease", SOON, lambda: calls.put(None), pool="own")
    schedule.add("alerts", SOON, lambda: calls.put(None), pool="alerts")
    with schedule:
        for _ in range(8):
            waiting.get(timeout=PATIENCE_S)
        while not calls.empty():
            calls.get()
        for _ in range(6):
            calls.get(timeout=PATIENCE_S)
        go_on.set()


def test_a_job_that_raises_is_logged_and_runs_again() -> None:
    """One failure neither ends the job nor the schedule."""
    log, calls = Log(), Queue[int]()

    def job() -> None:
        calls.put(1)
        raise ValueError("no rows")

    schedule = Schedule(log)
    schedule.add("evaluation", SOON, job)
    with schedule:
        for _ in range(2):
            calls.get(timeout=PATIENCE_S)
        level, event, values = log.lines.get(timeout=PATIENCE_S)
    assert (level, event, values["job"]) == ("error", "job failed on a defect", "evaluation")
    assert str(values["exc_info"]) == "no rows"


def test_a_run_that_is_still_going_on_is_not_doubled_and_the_skip_is_logged() -> None:
    """The second run of a job waits for the next time, and says why."""
    log, running, release = Log(), Queue[int](), threading.Event()

    def job() -> None:
        running.put(1)
        release.wait(PATIENCE_S)

    schedule = Schedule(log)
    schedule.add("slow", SOON, job)
    with schedule:
        running.get(timeout=PATIENCE_S)
        level, event, values = log.lines.get(timeout=PATIENCE_S)
        doubled = not running.empty()
        release.set()
    assert not doubled
    assert (level, event, values) == ("warning", "job skipped", {"job": "slow", "reason": "still running"})


def test_leaving_waits_for_the_run_under_way_and_starts_no_other() -> None:
    """When the context is left, no job runs and none will."""
    started, events = threading.Event(), list[str]()
    leaving = threading.Event()

    def job() -> None:
        events.append("begin")
        started.set()
        leaving.wait(PATIENCE_S)
        events.append("end")

    schedule = Schedule(Log())
    schedule.add("job", SOON, job)
    with schedule:
        assert started.wait(PATIENCE_S)
        threading.Timer(0.5, leaving.set).start()
    assert events == ["begin", "end"]


@pytest.mark.parametrize("expression", ["0 */6 * * *", "*/5 0-6 1,15 * mon-fri"])
def test_a_crontab_expression_is_accepted(expression: str) -> None:
    """The five-field form is returned as it was."""
    assert check_cron(expression) == expression


@pytest.mark.parametrize("expression", ["", "hourly", "0 * * *", "61 * * * *", "* * * * * *", "0 0 * * xyz"])
def test_what_is_no_crontab_expression_is_refused(expression: str) -> None:
    """A wrong expression is a ValueError when the configuration is read, not a silence at run time."""
    with pytest.raises(ValueError, match=r".+"):
        check_cron(expression)


def test_a_deadline_leaves_room_for_one_failure() -> None:
    """The job is overdue at its second time after the last success, in UTC."""

    def at(hour: int, minute: int = 0, day: int = 1) -> float:
        return datetime(2026, 3, day, hour, minute, tzinfo=UTC).timestamp()

    assert deadline_s(Every(interval=timedelta(minutes=15)), 1000.0) == 2800.0
    assert deadline_s(Cron(expression="0 */6 * * *"), at(0, 5)) == at(12)
    assert deadline_s(Cron(expression="0 */6 * * *"), at(6)) == at(18)
    assert deadline_s(Cron(expression="0 0 * * *"), at(3)) == at(0, day=3)
    assert deadline_s(Cron(expression="0 0 30 2 *"), at(3)) is None
