"""What is wrong with a configuration, in words for the person who wrote it."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from monitor.errors import MonitorError

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_KEY = re.compile(r"key|password|passwd|secret|token|authorization|credential|headers", re.IGNORECASE)
_LONGEST_VALUE = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend: where it stands, which key, what is wrong, and what is allowed."""

    where: str
    key: str
    wrong: str
    allowed: str = ""

    def __str__(self) -> str:
        """Two lines at most: `FILE:LINE: KEY: WRONG`, and below it what is allowed."""
        first = ": ".join(part for part in (self.where, self.key, self.wrong) if part)
        return f"{first}\n    {self.allowed}" if self.allowed else first


class ConfigError(MonitorError):
    """A configuration that cannot be used; `problems` lists all that was found, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object, key: str = "") -> str:
    """The value as it may be printed: cut to one line, without passwords, nothing of a key that names a secret."""
    if _SECRET_KEY.search(key):
        return "(a secret, not shown)"
    if isinstance(value, dict | list | tuple):
        return f"({'a mapping' if isinstance(value, dict) else 'a list'})"
    if value is None:
        return "(nothing)"
    text = _CREDENTIALS.sub("***@", repr(value))
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?`, or nothing when no known name looks like it."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {found[0]!r}?" if found else ""
