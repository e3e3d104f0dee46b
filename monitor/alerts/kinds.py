"""Which kinds of alerts there are, and what each is worth."""

from collections.abc import Mapping
from typing import Final, Literal

AlertKind = Literal[
    "production_regression",
    "candidate_regression",
    "unknown",
    "scorer_failing",
    "judge_moved",
    "spend_exhausted",
    "dataset_stale",
    "consumer_lag",
    "dead_letters",
    "lost_to_retention",
    "accounting_mismatch",
    "evaluation_overdue",
]
Severity = Literal["page", "ticket", "none"]
About = Literal["quality", "health"]

DEFAULT_SEVERITY: Final[Mapping[AlertKind, Severity]] = {
    "production_regression": "page",
    "candidate_regression": "ticket",
    "unknown": "ticket",
    "scorer_failing": "ticket",
    "judge_moved": "ticket",
    # A ticket as long as something is left of the day's spend: the finding says so itself.
    "spend_exhausted": "page",
    "dataset_stale": "ticket",
    "consumer_lag": "ticket",
    "dead_letters": "ticket",
    "lost_to_retention": "page",
    "accounting_mismatch": "page",
    "evaluation_overdue": "ticket",
}
HEALTH_KINDS: Final[frozenset[AlertKind]] = frozenset(
    {"consumer_lag", "dead_letters", "lost_to_retention", "accounting_mismatch", "evaluation_overdue"}
)
"""What Prometheus's rules for the daemon's own health tell as well, whether or not anything is delivered."""

_ORDER: Final[tuple[Severity, ...]] = ("none", "ticket", "page")


def severity_of(kind: AlertKind, at_most: Severity, configured: Mapping[AlertKind, Severity]) -> Severity:
    """What an alert is worth: no more than its kind is, and no more than what it is about (`at_most`)."""
    return min(configured.get(kind, DEFAULT_SEVERITY[kind]), at_most, key=_ORDER.index)


def about(kind: str) -> About:
    """Whether a kind is about the application's quality, or about the daemon's own health."""
    return "health" if kind in HEALTH_KINDS else "quality"
