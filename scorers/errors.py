"""The error tree of the scorers package.

ScorerError
├── ScorerSettingsError   a key of the configuration holds a value that is not allowed
│   └── UnknownScorer     no scorer has that name; carries the nearest names
└── JudgeUnavailable      the judge's endpoint gives no answer: wait and try again
"""

import difflib
from collections.abc import Iterable
from typing import Literal


class ScorerError(Exception):
    """Root of everything that this package raises on purpose."""


class ScorerSettingsError(ScorerError):
    """A configured scorer cannot be built: names the key, its value and what is allowed."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        self.key = key
        self.value = value
        self.allowed = allowed
        super().__init__(f"{key}: {value!r} is not allowed; allowed: {allowed}")


class UnknownScorer(ScorerSettingsError):
    """No scorer has the name; ``nearest`` lists the known names that look like it, best first."""

    def __init__(self, key: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.nearest = nearest_names(name, known)
        hint = f"did you mean {', '.join(self.nearest)}?" if self.nearest else "nothing similar is known"
        super().__init__(key, name, hint)


OutageKind = Literal["unreachable", "overloaded", "refused", "garbled", "circuit_open"]
# What may be one trace's doing. That the endpoint has no room, or refuses the key, is nobody's.
_MAY_BE_THE_TRACE: frozenset[OutageKind] = frozenset({"unreachable", "garbled"})


class JudgeUnavailable(ScorerError):
    """The judge's endpoint gave no answer for this trace, which says nothing about the trace.

    Attributes:
        cause: what happened, for a log line (never contains the key).
        endpoint: the address asked, None where no request was made.
        status: the HTTP status, None where the connection failed or timed out.
        kind: unreachable (connection, timeout, 5xx), overloaded (429), refused (key, quota, model), garbled (an answer
            that is no chat completion), or circuit_open (not asked, as it has failed for all).
        retry_after_s: how long to leave it alone, where that is known.
        timed_out: whether it took the request and did not answer in time.
        calls: attempts that were sent.
        unmetered: those of them that may be billed for tokens that nobody has told: the endpoint took them, and was too
            slow, was cut off or answered something else. One that was refused or never arrived is not among them.
        asked: questions, of which each may have been sent several times; None where that is not known.
        input_tokens: of answers that came before; None where the endpoint reported none; likewise `output_tokens`.
    """

    def __init__(
        self,
        cause: str,
        *,
        endpoint: str | None = None,
        status: int | None = None,
        kind: OutageKind = "unreachable",
        retry_after_s: float | None = None,
        timed_out: bool = False,
        calls: int = 0,
        unmetered: int = 0,
    ) -> None:
        self.cause = cause
        self.endpoint = endpoint
        self.status = status
        self.kind = kind
        self.retry_after_s = retry_after_s
        self.timed_out = timed_out
        self.calls = calls
        self.unmetered = unmetered
        self.asked: int | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        super().__init__(f"the judge at {endpoint} is unavailable: {cause}" if endpoint else cause)

    @property
    def may_be_the_trace(self) -> bool:
        """Whether it can be one trace's doing that the endpoint gave no answer."""
        return self.kind in _MAY_BE_THE_TRACE


def nearest_names(name: str, known: Iterable[str], limit: int = 5) -> tuple[str, ...]:
    """The known names that look like ``name``, best first; upper and lower case do not matter."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    found = difflib.get_close_matches(name.casefold(), list(by_folded), n=limit, cutoff=0.5)
    contained = [folded for folded in by_folded if name.casefold() in folded and folded not in found]
    return tuple(by_folded[folded] for folded in [*found, *sorted(contained)][:limit])
