"""Time as a value."""

from datetime import timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from monitor.clock import Duration, ManualClock, SystemClock
from monitor.versions import __version__

DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000), ("1.5h", 5_400), (7, 7)],
)
def test_durations_are_written_with_a_unit(text: str | int, seconds: float) -> None:
    """Every unit of the configuration is understood; a bare number is seconds."""
    assert DURATION.validate_python(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "30 s", "-1s", "1h30m", "30x", "PT30S", "99999999999999d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A text of any other form is a validation error, never another exception."""
    with pytest.raises(ValidationError):
        DURATION.validate_python(text)


def test_a_manual_clock_stands_until_it_is_moved() -> None:
    """Advancing moves both clocks, setting only the one of the day, and time does not pass backwards."""
    clock = ManualClock(1_000)
    clock.advance(timedelta(milliseconds=1_500))
    assert (clock.now_ms(), clock.monotonic_s()) == (2_500, 1.5)
    clock.set(10)
    assert (clock.now_ms(), clock.monotonic_s()) == (10, 1.5)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(timedelta(seconds=-1))


def test_the_system_clock_goes_forward() -> None:
    """It tells milliseconds since the epoch, and its monotonic time does not go back."""
    clock = SystemClock()
    assert clock.now_ms() > 1_600_000_000_000
    assert clock.monotonic_s() <= clock.monotonic_s()


def test_the_version_is_known() -> None:
    """The version of the running code is a text that starts with a number."""
    assert __version__[0].isdigit()
