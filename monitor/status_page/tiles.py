"""The page at a glance: one figure for each part of it, and where on the page the rest stands. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from monitor.status_page.view import PageView, Tone
from monitor.status_page.words import NONE, amount, count, counted, duration, percent

_WARN_AT: Final = 0.8
_CIRCUITS: Final[Mapping[str, tuple[str, Tone]]] = {
    "closed": ("answers", "good"),
    "half_open": ("is tried again", "warn"),
    "open": ("is left alone", "bad"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """A figure. `anchor` is the section that tells more; `tone` is None where there is nothing to judge."""

    anchor: str
    label: str
    value: str
    detail: str
    tone: Tone | None = None


def tiles_of(view: PageView) -> list[Tile]:
    """The tiles of a page, none before anything is known. Of old figures none is called good."""
    if view.age_s is None:
        return []
    tiles = [
        _alerts(view),
        _candidates(view),
        _stream(view),
        _judge(view),
        _debt(view),
        _spend(view),
        _dataset(view),
        _replicas(view),
    ]
    return [replace(tile, tone=None) if view.stale and tile.tone == "good" else tile for tile in tiles]


def _alerts(view: PageView) -> Tile:
    return Tile(
        anchor="alerts",
        label="Alerts firing",
        value=count(view.firing),
        detail=f"{count(view.pending)} pending" if view.pending else "none pending",
        tone="bad" if view.paging else "warn" if view.firing else None,
    )


def _candidates(view: PageView) -> Tile:
    compared = len(view.comparisons)
    regressed = sum(each.regressed for each in view.comparisons)
    if not compared:
        return Tile(anchor="candidates", label="Candidates", value=NONE, detail="none compared yet")
    newest = max(each.finished_ms for each in view.comparisons)
    return Tile(
        anchor="candidates",
        label="Candidates",
        value=f"{regressed} of {compared} worse" if regressed else f"{compared} compared",
        detail=f"last {duration((view.now_ms - newest) / 1000)} ago",
        tone="bad" if regressed else "good",
    )


def _stream(view: PageView) -> Tile:
    lost = sum(each.lost for each in view.partitions)
    missing = sum(abs(each.missing) for each in view.accounts)
    lags = [each.lag for each in view.partitions if each.lag is not None]
    said = [f"lag {count(sum(lags))}" if lags else "lag not known here"]
    said += [f"{count(lost)} lost"] if lost else []
    said += [f"{count(missing)} unaccounted"] if missing else []
    received = sum(each.received for each in view.partitions)
    tone: Tone = "bad" if missing else "warn" if lost else "good" if received else "open"
    return Tile(anchor="stream", label="Events received", value=count(received), detail=", ".join(said), tone=tone)


def _judge(view: PageView) -> Tile:
    errors = sum(each.whole.errors for each in view.scorers)
    detail = f"{counted(errors, 'error')} in 24 h"
    if any(each.name == "judge" and not each.up for each in view.dependencies):
        return Tile(anchor="services", label="Judge", value="is away", detail=detail, tone="bad")
    if view.judge is None:
        return Tile(anchor="services", label="Judge", value="not asked yet", detail=detail)
    value, tone = _CIRCUITS[view.judge.circuit]
    return Tile(anchor="services", label="Judge", value=value, detail=detail, tone=tone)


def _debt(view: PageView) -> Tile:
    debt = view.debt
    if debt is None or debt.verdicts == 0:
        return Tile(anchor="spend", label="Verdicts owed", value="0", detail="nothing waits")
    pace = "no pace to go by" if debt.seconds is None else f"{duration(debt.seconds)} to catch up"
    return Tile(
        anchor="spend",
        label="Verdicts owed",
        value=count(debt.verdicts),
        detail=pace,
        tone="warn" if debt.seconds is None else "open",
    )


def _spend(view: PageView) -> Tile:
    if not view.pots:
        return Tile(anchor="spend", label="Spent today", value=NONE, detail="no limit is set")
    pot = max(view.pots, key=lambda each: each.share)
    tone: Tone = "bad" if pot.share >= 1 else "warn" if pot.share >= _WARN_AT else "good"
    spent, limit = amount(pot.spent, pot.unit), amount(pot.limit, pot.unit)
    return Tile(
        anchor="spend",
        label="Spent today",
        value=percent(pot.share),
        detail=f"{spent} of {limit}, {pot.name}",
        tone=tone,
    )


def _dataset(view: PageView) -> Tile:
    if view.dataset is None:
        return Tile(anchor="dataset", label="Dataset rows", value=NONE, detail="none is configured")
    tone: Tone = "good" if view.dataset.rows else "open"
    detail = f"of at most {count(view.dataset.most)}"
    return Tile(anchor="dataset", label="Dataset rows", value=count(view.dataset.rows), detail=detail, tone=tone)


def _replicas(view: PageView) -> Tile:
    versions = sorted({each.version for each in view.replicas})
    troubled = sum(job.failing or job.overdue for job in view.jobs)
    return Tile(
        anchor="jobs",
        label="Replicas",
        value=count(len(view.replicas)),
        detail=f"{counted(troubled, 'job')} in trouble" if troubled else f"version {', '.join(versions) or NONE}",
        tone="warn" if troubled or not view.replicas else "good",
    )
