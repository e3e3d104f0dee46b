"""PromQL over the declared metrics: a name or label that is not declared fails when the dashboards are made.

Figures of the group are the same on every replica and are read through `max`; those of processes are added up.
"""

import re
from dataclasses import dataclass
from typing import Final

from monitor.metrics.declared import METRICS, Declared

SCORER: Final = 'scorer=~"$scorer"'
SEGMENT: Final = 'segment=~"$segment"'
VERSION: Final = 'version=~"$version"'
ALL: Final = 'segment="all"'
ANSWERS: Final = 'verdict=~"pass|fail"'

_PREFIX: Final = "tracewatch_"
_DECLARED: Final = {each.name.removeprefix(_PREFIX): each for each in METRICS}
_OF_EACH_REPLICA: Final = ("instance", "pod")


class NotDeclared(ValueError):
    """A query names a metric or a label that Tracewatch does not export."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of the applications that `app`, a label matcher, selects. Names are without their prefix."""

    app: str

    def selector(self, name: str, *matchers: str, suffix: str = "") -> str:
        """The metric with its matchers; `suffix` is `_bucket` for a histogram.

        Raises:
            NotDeclared: there is no such metric, or it has no such label.
        """
        declared = _declared(name)
        for matcher in matchers:
            _check(declared, re.split(r"[=!]", matcher, maxsplit=1)[0])
        return f"{declared.name}{suffix}{{{', '.join((self.app, *matchers))}}}"

    def value(self, name: str, *matchers: str, by: str | None = None) -> str:
        """A gauge: of the group once, of processes added up. `by` keeps these labels alone."""
        declared = _declared(name)
        operator = "max" if declared.scope == "group" else "sum"
        return f"{operator} {_kept(declared, by)} ({self.selector(name, *matchers)})"

    def rate(self, name: str, *matchers: str, by: str) -> str:
        """A counter's increase a second, added up over processes."""
        declared = _declared(name)
        return f"sum {_kept(declared, by)} (rate({self.selector(name, *matchers)}[$__rate_interval]))"

    def increase(self, name: str, *matchers: str, by: str, window: str) -> str:
        """A counter's increase over a window, added up over processes."""
        declared = _declared(name)
        return f"sum {_kept(declared, by)} (increase({self.selector(name, *matchers)}[{window}]))"

    def quantile(self, share: float, name: str, *matchers: str, by: str) -> str:
        """A quantile of a histogram over all processes, by linear interpolation within its bucket."""
        declared = _declared(name)
        buckets = self.selector(name, *matchers, suffix="_bucket")
        _check(declared, *_names(by))
        return f"histogram_quantile({share:g}, sum by (le, {by}) (rate({buckets}[$__rate_interval])))"

    def buckets(self, name: str, *matchers: str) -> str:
        """A histogram's buckets over all processes, for a heat map."""
        return f"sum by (le) (rate({self.selector(name, *matchers, suffix='_bucket')}[$__rate_interval]))"


def _declared(name: str) -> Declared:
    if name not in _DECLARED:
        raise NotDeclared(f"no metric is called {_PREFIX}{name}")
    return _DECLARED[name]


def _check(declared: Declared, *labels: str) -> None:
    unknown = set(labels) - {"app", *declared.labels, *_OF_EACH_REPLICA, "exported_job"}
    if unknown:
        raise NotDeclared(f"{declared.name} has no label {', '.join(sorted(unknown))}")


def _names(by: str) -> list[str]:
    return [label.strip() for label in by.split(",") if label.strip()]


def _kept(declared: Declared, by: str | None) -> str:
    if by is None:
        return f"without ({', '.join(_OF_EACH_REPLICA)})"
    _check(declared, *_names(by))
    return f"by ({by})"
