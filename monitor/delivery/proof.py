"""What an alert's details prove, in numbers: no text of customers or judges. Pure, and never at a loss.

Details come from whoever found the alert, and may hold more or less than is known here: what is a number, or one of the
few texts of Tracewatch's own, is told; all else is left out.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from monitor.delivery.foreign_text import bounded_text, defused

_TEXTS = ("first_version", "verdict", "unit", "warning")
_TABLES = ("by_reason", "by_partition")
_INTERNAL = ("grown_ms", "lost")
_MOST = 10
_EXPLANATIONS = 3
_WORDS = {
    "before": "pass rate before",
    "after": "pass rate now",
    "interval": "interval",
    "baseline": "pass rate of the baseline",
    "candidate": "pass rate of the candidate",
    "p_adjusted": "p-value (adjusted)",
    "n_paired": "paired rows",
    "since_ms": "since",
    "first_version": "first bad version",
}
_THOUSAND = 1000
_WHOLE = 2**63


def proof_of(details: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the details that may go anywhere, as JSON."""
    proof: dict[str, Any] = {}
    for key, value in details.items():
        told = _told(key, value)
        if told is not None and key.isidentifier() and key not in _INTERNAL:
            proof[key] = told
    explained = [_explanation(each) for each in _list(details.get("explained_by"))[:_EXPLANATIONS]]
    if any(explained):
        proof["explained_by"] = [each for each in explained if each]
    return proof


def lines_of(proof: Mapping[str, Any]) -> list[str]:
    """The proof for people, a fact a line."""
    first = [key for key in _WORDS if key in proof]
    rest = [key for key in proof if key not in _WORDS and key not in ("explained_by", "warning")]
    lines = [f"{_WORDS.get(key, key.replace('_', ' '))}: {_shown(key, proof[key])}" for key in (*first, *rest)]
    lines += [f"best explained by: {_explained(each)}" for each in proof.get("explained_by", ())]
    return [*lines, *(f"warning: {defused(proof[key])}" for key in ("warning",) if key in proof)]


def time_of(at_ms: float) -> str:
    """A moment as people read it; a number that is no moment stays a number."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms:g}"


def is_number(value: Any) -> bool:
    """Whether it is a number that every reader of JSON knows."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < _WHOLE if isinstance(value, int) else math.isfinite(value)


def _told(key: str, value: Any) -> Any:
    if key in ("explained_by", "warning") and not isinstance(value, str):
        return None
    if isinstance(value, bool) or is_number(value):
        return value
    if key in _TEXTS and isinstance(value, str):
        return bounded_text(value)
    if key == "interval" and isinstance(value, list | tuple) and len(value) == 2 and all(map(is_number, value)):  # noqa: PLR2004
        return list(value)
    if key in _TABLES and isinstance(value, Mapping):
        counts = [(bounded_text(str(name)), count) for name, count in value.items() if is_number(count)]
        return dict(sorted(counts, key=lambda each: -each[1])[:_MOST]) or None
    return None


def _explanation(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not isinstance(value.get("segment"), str):
        return {}
    numbers = {str(key): number for key, number in value.items() if is_number(number)}
    return {"segment": bounded_text(value["segment"]), **numbers}


def _explained(each: Mapping[str, Any]) -> str:
    numbers = [f"{key.replace('_', ' ')} {_shown(key, value)}" for key, value in each.items() if key != "segment"]
    segment = defused(each["segment"])
    return f"{segment} ({', '.join(numbers)})" if numbers else segment


def _shown(key: str, value: Any) -> str:
    if key.endswith("_ms"):
        return time_of(value)
    if isinstance(value, list):
        return f"{value[0]:.3g} to {value[1]:.3g}"
    if isinstance(value, Mapping):
        return ", ".join(_pairs(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1%}" if key == "share" else f"{value:.3g}" if abs(value) < _THOUSAND else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else defused(value)


def _pairs(counts: Mapping[str, Any]) -> Iterator[str]:
    return (f"{defused(name)} {count:,}" for name, count in counts.items())


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
