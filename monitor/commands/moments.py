"""Points in time as people write them on the command line."""

import re
from datetime import UTC, datetime, timedelta

from monitor.errors import MonitorError

_AGO = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class NoMoment(MonitorError):
    """A text that names no point in time."""


def moment_ms(option: str, text: str | None, now_ms: int) -> int | None:
    """Milliseconds since the epoch: a date or a time in ISO 8601 (UTC where no zone is given), or `2h` for 2 h ago.

    Raises:
        NoMoment: the text is neither.
    """
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip()):
        return now_ms - round(timedelta(**{_UNITS[ago[2]]: float(ago[1])}).total_seconds() * 1000)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        allowed = "2026-01-31, 2026-01-31T12:00:00Z, or 30m, 2h, 7d for so long ago"
        raise NoMoment(f"{option} {text!r} is no point in time; allowed: {allowed}") from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def moment_text(at_ms: int | None) -> str:
    """The moment in UTC, to the second; empty for None."""
    if at_ms is None:
        return ""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
