"""Open alerts with their proof, out of the details that the ledger keeps. Pure; every detail may be absent."""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from monitor.ledger.rows import AlertRow
from monitor.status_page.links import run_link, trace_link
from monitor.status_page.view import AlertView, ExampleView, Severity, SliceView
from monitor.status_page.words import percent
from monitor.tracking.links import MlflowLinks

ALERTS_SHOWN: Final = 30
EXAMPLES_SHOWN: Final = 3
FACTS_SHOWN: Final = 12

_SEVERITIES: Final[tuple[Severity, ...]] = ("page", "ticket", "none")
_WARNINGS: Final = ("warning", "held_back", "reason")
# Told by the view's own fields, or of use to the program alone.
_TOLD: Final = frozenset(
    {
        "before", "after", "interval", "verdicts", "since_ms", "found_ms", "first_version", "explained_by", "examples",
        "pass_rate", "target", "baseline", "candidate", "pass_to_fail", "run_id", "evaluation", "window_from",
        "grown_ms", "difference", "verdict", *_WARNINGS,
    }
)  # fmt: skip

_NAMES: Final = {"p_adjusted": "adjusted p", "n_paired": "paired rows"}


def alert_views(rows: Sequence[AlertRow], links: MlflowLinks | None) -> list[AlertView]:
    """The worst first: firing before pending, pages before tickets, then the oldest."""
    return [_view(row, links) for row in sorted(rows, key=_urgency)[:ALERTS_SHOWN]]


def _urgency(row: AlertRow) -> tuple[bool, int, int, str]:
    return (row.state != "firing", _SEVERITIES.index(_severity(row)), row.since_ms, row.id)


def _severity(row: AlertRow) -> Severity:
    return next((each for each in _SEVERITIES if each == row.severity), "ticket")


def _view(row: AlertRow, links: MlflowLinks | None) -> AlertView:
    details = row.details
    low, high = _interval(details.get("interval"))
    before_name, before = _first(details, "before", "target", "baseline")
    return AlertView(
        kind=row.kind,
        scorer=row.scorer,
        segment=row.segment,
        state="firing" if row.state == "firing" else "pending",
        severity=_severity(row),
        since_ms=_whole(details.get("since_ms")) or row.since_ms,
        fired_ms=row.fired_ms,
        before_name=before_name,
        before=before,
        after=_first(details, "after", "pass_rate", "candidate")[1],
        lower=low,
        upper=high,
        verdicts=_whole(details.get("verdicts")),
        first_version=_text(details.get("first_version")),
        explained_by=tuple(_slice(each) for each in _mappings(details.get("explained_by"))),
        examples=tuple(_examples(details, links))[:EXAMPLES_SHOWN],
        warnings=tuple(text for name in _WARNINGS if (text := _text(details.get(name)))),
        facts=tuple(_facts(details))[:FACTS_SHOWN],
        run=run_link("evaluation run", details["run_id"], links) if details.get("run_id") else None,
    )


def _slice(given: Mapping[str, Any]) -> SliceView:
    return SliceView(
        segment=str(given.get("segment", "")),
        rate=_number(given.get("pass_rate")),
        verdicts=_whole(given.get("verdicts")),
        share=_number(given.get("share")),
        # Alerts of earlier releases do not have it.
        before=_number(given.get("before")),
    )


def _examples(details: Mapping[str, Any], links: MlflowLinks | None) -> Iterable[ExampleView]:
    for each in _mappings(details.get("examples")):
        good = each.get("good")
        good_id = _text(good.get("trace_id")) if isinstance(good, Mapping) else None
        yield ExampleView(
            trace=trace_link(str(each.get("trace_id", "")), links),
            rationale=_text(each.get("rationale")),
            value=_number(each.get("value")),
            weight=_number(each.get("weight")),
            good=None if good_id is None else trace_link(good_id, links),
        )
    turned = details.get("pass_to_fail")
    if isinstance(turned, list):
        yield from (ExampleView(trace=trace_link(trace_id, links)) for trace_id in turned if isinstance(trace_id, str))


def _facts(details: Mapping[str, Any]) -> Iterable[tuple[str, float | int | str]]:
    for name, value in details.items():
        if name in _TOLD or value is None:
            continue
        if isinstance(value, Mapping):
            yield from ((f"{name}: {key}", _plain(inner)) for key, inner in value.items())
        else:
            share = _number(value) if name == "share" else None
            yield _NAMES.get(name, name), _plain(value) if share is None else percent(share)


def _plain(value: Any) -> float | int | str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False, default=str)


def _first(details: Mapping[str, Any], *names: str) -> tuple[str, float | None]:
    """Of these details the first that is a number, with its name."""
    found = ((name, number) for name in names if (number := _number(details.get(name))) is not None)
    return next(found, (names[0], None))


def _interval(given: Any) -> tuple[float | None, float | None]:
    match given:
        case [low, high]:
            return _number(low), _number(high)
        case _:
            return None, None


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return float(value) if known else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
