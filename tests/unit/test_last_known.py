"""The last word of what is slow to ask: read seldom, never twice at once, kept while its source is away."""

import threading
from datetime import timedelta

from monitor.clock import ManualClock
from monitor.errors import ServiceUnavailable
from monitor.last_known import Known, LastKnown


class Source:
    """Counts how often it is asked, and may be away."""

    def __init__(self) -> None:
        self.away = False
        self.reads = 0

    def read(self) -> int:
        """The number of this read."""
        if self.away:
            raise ServiceUnavailable("away")
        self.reads += 1
        return self.reads


def test_it_is_read_when_it_is_asked_for_and_at_most_every_fifteen_seconds() -> None:
    """Who asks in between gets the same value with its age."""
    clock, source = ManualClock(), Source()
    known = LastKnown(source.read, clock)
    assert source.reads == 0
    assert known.get() == Known(value=1, age_s=0.0)
    clock.advance(timedelta(seconds=14))
    assert known.get() == Known(value=1, age_s=14.0)
    clock.advance(timedelta(seconds=1))
    assert known.get() == Known(value=2, age_s=0.0)


def test_while_the_source_is_away_the_value_stays_and_grows_old() -> None:
    """However long; and one that was never there gives nothing."""
    clock, source = ManualClock(), Source()
    known = LastKnown(source.read, clock)
    source.away = True
    assert known.get() is None
    source.away = False
    clock.advance(timedelta(seconds=15))
    known.get()
    source.away = True
    clock.advance(timedelta(days=1))
    assert known.get() == Known(value=1, age_s=86_400.0)


def test_who_asks_during_a_slow_read_gets_the_last_value_at_once() -> None:
    """Nobody waits behind a reader that hangs, and the source is not asked twice at once."""
    clock, began, may_end = ManualClock(), threading.Event(), threading.Event()
    answers = iter((1, 2))

    def read() -> int:
        answer = next(answers)
        if answer == 2:
            began.set()
            may_end.wait(10)
        return answer

    known = LastKnown(read, clock)
    known.get()
    clock.advance(timedelta(seconds=15))
    slow = threading.Thread(target=known.get)
    slow.start()
    assert began.wait(10)
    assert known.get() == Known(value=1, age_s=15.0)
    may_end.set()
    slow.join(10)
    assert known.get() == Known(value=2, age_s=0.0)
