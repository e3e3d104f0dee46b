"""An alert and its life: pending, firing, resolved. Pure: the time is an argument."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Literal

from monitor.alerts.kinds import AlertKind, Severity, severity_of

AlertState = Literal["pending", "firing", "resolved"]

EXAMPLES: Final = 3
"""Traces that an alert shows."""

RATIONALE_CHARS: Final = 2_000
"""How much of the rationale of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert of a (kind, scorer, segment). Times are ms since the epoch; `details` is JSON for people to read.

    For a candidate regression the segment is `version=NAME`. What is about no scorer has an empty one.
    """

    id: str
    kind: AlertKind
    scorer: str
    segment: str
    state: AlertState
    severity: Severity
    since_ms: int
    fired_ms: int | None
    resolved_ms: int | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was seen of a (kind, scorer, segment) at one look. `severity` is the most that it is worth.

    `bad` is None where too little is known to say, which changes nothing: an alert neither begins nor ends on silence.
    What is bad for `hold_ms` without a break fires.
    """

    kind: AlertKind
    scorer: str
    segment: str
    severity: Severity
    bad: bool | None
    details: Mapping[str, Any]
    hold_ms: int = 0

    @property
    def subject(self) -> tuple[str, str, str]:
        """What at most one open alert is about."""
        return (self.kind, self.scorer, self.segment)


def graded(finding: Finding, configured: Mapping[AlertKind, Severity]) -> Finding:
    """The finding with the severity that its kind leaves it; `configured` overrides the defaults of kinds."""
    return replace(finding, severity=severity_of(finding.kind, finding.severity, configured))


def alert_id(kind: str, scorer: str, segment: str, since_ms: int) -> str:
    """A stable id: the same alert has it after a restart and on every replica."""
    return sha256("\0".join((kind, scorer, segment, str(since_ms))).encode()).hexdigest()[:16]


def next_alert(current: Alert | None, finding: Finding, *, now_ms: int) -> Alert | None:
    """The alert after a look, or None where there is none to keep.

    `current` is the open alert of the finding's subject. A bad finding opens an alert as pending, and one that was bad
    for as long as it has to be fires; a good finding drops a pending alert (returned as resolved, never having fired)
    and resolves a firing one.
    """
    if finding.bad is None:
        return current
    if not finding.bad:
        if current is None:
            return None
        return replace(current, state="resolved", resolved_ms=now_ms, details={**current.details, **finding.details})
    alert = current or _opened(finding, now_ms)
    alert = replace(alert, details=finding.details, severity=finding.severity)
    if alert.state == "pending" and now_ms - alert.since_ms >= finding.hold_ms:
        return replace(alert, state="firing", fired_ms=now_ms)
    return alert


def _opened(finding: Finding, now_ms: int) -> Alert:
    return Alert(
        id=alert_id(finding.kind, finding.scorer, finding.segment, now_ms),
        kind=finding.kind,
        scorer=finding.scorer,
        segment=finding.segment,
        state="pending",
        severity=finding.severity,
        since_ms=now_ms,
        fired_ms=None,
        resolved_ms=None,
        details=finding.details,
    )
