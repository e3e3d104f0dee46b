"""The most that judging may cost in a month."""

from datetime import timedelta

from monitor.config import Config
from monitor.replica.schedule import check_cron

_MONTH = timedelta(days=30)


def judge_calls_a_month(config: Config, judges: int) -> list[str]:
    """In words, the worst case of production and of evaluations, for `judges` scorers that ask the judge.

    A month has 30 days; retries after errors are not counted.
    """
    if judges == 0:
        return ["no scorer asks the judge: 0 judge calls a month"]
    lines = []
    hourly = config.sampling.judge_calls_per_hour
    if hourly is None:
        lines.append(
            f"production: no upper bound, up to {judges} judge calls a trace; sampling.judge_calls_per_hour sets one"
        )
    else:
        lines.append(f"production: at most {hourly * 24 * 30:,} judge calls a month ({hourly:,} an hour)")
    evaluation = config.evaluation
    if evaluation is None or config.dataset is None:
        return lines
    each = config.dataset.max_rows * len(evaluation.versions) * judges * evaluation.repeats
    schedule = evaluation.schedule
    if schedule is None:
        lines.append(f"evaluation: at most {each:,} judge calls each time; it is not scheduled")
        return lines
    runs = _MONTH // schedule.interval if schedule.interval else 30 * _runs_a_day(schedule.cron or "")
    lines.append(f"evaluation: at most {runs * each:,} judge calls a month ({runs:,} runs of {each:,})")
    return lines


def _runs_a_day(cron: str) -> int:
    """Runs of a day on which the expression runs at all: an upper bound for every day."""
    minutes, hours = check_cron(cron).split()[:2]
    return _values(minutes, 60) * _values(hours, 24)


def _values(field: str, size: int) -> int:
    chosen: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0", "", str(size - 1)) if span == "*" else span.partition("-")
        end = int(last or (size - 1 if step else first))
        chosen.update(range(int(first), end + 1, int(step or 1)))
    return len(chosen)
