"""A ledger with verdicts, and scorers whose series are closed in it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from monitor.ledger.ledger import Ledger
from monitor.ledger.rows import OpenVerdict, VerdictRow
from monitor.series.closing import Closing
from monitor.series.watched import WatchedScorer
from monitor.stats.series import Policy, SeriesState
from monitor.stats.settings import SessionSettings, StatisticsSettings

BEGAN_MS = 1_790_000_040_000
MINUTE_MS = 60_000
VERSION = "0" * 12


def policy(**given: Any) -> Policy:
    """Held to a target of 0.9, at most one false alarm in 30 days."""
    of_old = Policy(
        source="target",
        target=0.9,
        reference_verdicts=300,
        tolerance=0.01,
        smallest_drop=0.025,
        threshold=720.0,
        window_ms=86_400_000,
    )
    return replace(of_old, **given)


def watched(name: str = "safety", **given: Any) -> WatchedScorer:
    """A scorer of whose traces all are judged."""
    return replace(WatchedScorer(name=name, version=VERSION, policy=policy()), **given)


def verdict(number: int, label: Any, at_ms: int, **given: Any) -> VerdictRow:
    """A verdict that MLflow has."""
    row = VerdictRow(
        trace_id=f"tr-{number:06d}",
        scorer="safety",
        scorer_version=VERSION,
        assessment_id=f"a-{number}",
        label=label,
        value=None if label == "error" else float(label == "pass"),
        feedback={},
        rationale=f"rationale {number}",
        error=None,
        probability=1.0,
        reason="rate",
        segments={},
        app_version=None,
        session_id=None,
        event_time_ms=at_ms,
        topic="traces",
        partition=0,
        offset=number,
        judged_at_ms=at_ms,
        duration_s=0.1,
        published=True,
    )
    return replace(row, **given)


def opened(row: VerdictRow) -> OpenVerdict:
    """The verdict as its series see it."""
    return OpenVerdict(**{name: getattr(row, name) for name in OpenVerdict.__slots__})


def closing(
    ledger: Ledger,
    *scorers: WatchedScorer,
    statistics: Mapping[str, Any] | None = None,
    max_age: timedelta = timedelta(hours=1),
    **more: Any,
) -> Closing:
    """What closes the blocks of the scorers."""
    return Closing(
        ledger.series,
        scorers or [watched()],
        settings=StatisticsSettings(**(statistics or {})),
        sessions=SessionSettings(),
        max_age=max_age,
        log=structlog.get_logger(),
        **more,
    )


def state(ledger: Ledger, segment: str = "all", scorer: str = "safety") -> SeriesState:
    """What a series knows."""
    found = {(row.scorer, row.segment): row for row in ledger.series.all()}
    return SeriesState.of_json(found[scorer, segment].state)


def fill(ledger: Ledger, labels: str, **given: Any) -> int:
    """One verdict a minute, `p` for a pass and anything else for a fail; returns the time of the last."""
    at_ms = BEGAN_MS
    for number, label in enumerate(labels):
        at_ms = BEGAN_MS + number * MINUTE_MS
        ledger.intake.record(verdict(number, "pass" if label == "p" else "fail", at_ms, **given))
    return at_ms
