"""Numbers and times as people read them. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

NONE: Final = "–"  # noqa: RUF001 - the typographic sign for 'none'
_MINUS: Final = "−"  # noqa: RUF001 - a minus, not a hyphen

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def percent(rate: float | None) -> str:
    """A rate in percent with one digit: `94.2 %`. What is not 0 or 100 never looks like it."""
    if rate is None:
        return NONE
    return f"{_kept_apart(rate * 100):.1f}\u00a0%"


def points(difference: float | None) -> str:
    """A difference of rates in points of a hundred: `+1.4`, `−19.8`."""  # noqa: RUF002
    if difference is None:
        return NONE
    rounded = round(difference * 100, 1)
    sign = "±" if rounded == 0 else "+" if rounded > 0 else _MINUS
    return f"{sign}{abs(rounded):.1f}"


def count(number: float | None) -> str:
    """A whole number with marks at thousands."""
    return NONE if number is None else f"{number:,.0f}".replace("-", _MINUS)


def counted(number: int, name: str) -> str:
    """`1 verdict`, `1,204 verdicts`."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def amount(number: float, unit: str) -> str:
    """An amount of a pot: `$12.50` or `1,204 calls`."""
    return f"${number:,.2f}" if unit == "dollars" else f"{number:,.0f} {unit}"


def fact(value: float | str) -> str:
    """A detail of an alert."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def named(key: str) -> str:
    """A name of the code's in plain words: `dead_letters` is `dead letters`."""
    return key.replace("_", " ")


def duration(seconds: float) -> str:
    """A length of time in its two largest units: `40 s`, `2 h 5 min`, `3 d`."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole}\u00a0s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}\u00a0min"
    if whole < _DAY:
        hours, minutes = divmod(whole // _MINUTE, 60)
        return f"{hours}\u00a0h {minutes}\u00a0min" if minutes else f"{hours}\u00a0h"
    days, hours = divmod(whole // _HOUR, 24)
    return f"{days}\u00a0d {hours}\u00a0h" if hours else f"{days}\u00a0d"


def moment(at_ms: int | None) -> str:
    """A time of day for people: `2026-11-24 13:05 UTC`."""
    return NONE if at_ms is None else f"{_utc(at_ms):%Y-%m-%d %H:%M} UTC"


def machine_time(at_ms: int) -> str:
    """The same for machines."""
    return f"{_utc(at_ms):%Y-%m-%dT%H:%M:%SZ}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def shortened(text: str, most: int) -> str:
    """The text's beginning, with how much more there is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def _kept_apart(percentage: float) -> float:
    if 0 < percentage < 0.1:  # noqa: PLR2004 - what one digit can show
        return 0.1
    return 99.9 if 99.9 < percentage < 100 else percentage  # noqa: PLR2004


def _utc(at_ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    except (OverflowError, ValueError, OSError):
        # Times of traces are the application's word.
        return datetime.max.replace(tzinfo=UTC)
