"""Whether a trace or the judge's endpoint is to blame for a judge that keeps failing on the trace."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp

from scipy.special import betaln

from scorers.errors import JudgeUnavailable

_TRIES = 5
# How improbable the failures of one trace must be for an endpoint that fails as it does on others. There are many sound
# traces, and a trace that is given up has no verdict for ever.
_CHANCE = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Traces for which a scorer's judge has answered, and its failures on them before, while it answered for others."""

    given: int = 0
    failures: int = 0


@dataclass(slots=True)
class JudgeRecord:
    """What each scorer's judge has answered in this process. Threads may share it."""

    _by_scorer: dict[str, Answers] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, scorer: str) -> Answers:
        """So far."""
        with self._lock:
            return self._by_scorer.get(scorer, Answers())

    def note(self, scorer: str, failures: int) -> None:
        """An answer came, after so many failures while the judge answered for others."""
        with self._lock:
            before = self._by_scorer.get(scorer, Answers())
            self._by_scorer[scorer] = Answers(given=before.given + 1, failures=before.failures + failures)


class Failures:
    """One trace's failures with one scorer's judge. Not safe for threads.

    A failure counts against the trace where the judge answered for others since the one before, or, since every worker
    may hold such a trace, where it answers `canary`. An endpoint that also fails on others, until it is asked again,
    has to fail on this one for longer. `own` is how many count.
    """

    def __init__(self, record: JudgeRecord, scorer: str, canary_answers: Callable[[], bool]) -> None:
        self._record = record
        self._scorer = scorer
        self._canary_answers = canary_answers
        self._before = self._seen = record.of(scorer)
        self._canaries = 0
        self._tries = 0
        self.own = 0

    @property
    def given_up(self) -> bool:
        """Whether the trace is to blame."""
        return self.own >= _TRIES and self._chance() <= _CHANCE

    def is_the_trace(self, error: BaseException | None) -> bool:
        """Whether, after this failure, the trace is to blame."""
        if not isinstance(error, JudgeUnavailable) or not error.may_be_the_trace:
            return False
        self._tries += 1
        answers = self._record.of(self._scorer)
        others, self._seen = answers.given > self._seen.given, answers
        if not others and self._tries >= _TRIES and self._canary_answers():
            self._canaries += 1
            others = True
        self.own += others
        return self.given_up

    def _chance(self) -> float:
        """That as many failures in a row come by chance, from what others met since this trace's first try.

        With nothing known beforehand the rate of failures has the distribution Beta(failures + 1, answers + 1)
        (https://en.wikipedia.org/wiki/Rule_of_succession). The mean rate put to the power of `own` would be too small:
        a few calls tell little of the rate.
        """
        answers = self._seen.given - self._before.given + self._canaries + 1
        failures = self._seen.failures - self._before.failures + 1
        return exp(betaln(failures + self.own, answers) - betaln(failures, answers))
