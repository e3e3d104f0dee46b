"""A comparison on the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.evaluation.words import cut, pretty, remarks, signed

_COLOURS = {"improved": "green", "regressed": "bold red", "equivalent": "blue", "inconclusive": "dim"}
OUTPUT_CHARS = 800
_SMALLEST_P = 0.001
_MOST_NEEDED = 99_999
_MOST_EVIDENCE = 999
# What the numbers leave of 80 characters for the names of scorers and versions.
_NAMES_CHARS = 32
_NAME_CHARS = 22


def comparison_table(value: Mapping[str, Any]) -> RenderableType:
    """The metrics of the object that `comparison_json` gives, the overall rates, and what must be said of them.

    It fits a terminal of 80 characters; names that are too long for that are cut.
    """
    baseline, candidate = value["baseline"], value["candidate"]
    early = "early_stop" in value
    title = f"{candidate['version']} against {baseline['version']} on {value['dataset']['rows']} rows"
    table = Table(
        title=Text(title, style="table.title"),
        header_style="bold",
        # Eight columns fit a terminal of 80 characters only without lines between them.
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    name_chars = min(_NAME_CHARS, max((len(metric["scorer"]) for metric in value["metrics"]), default=0))
    table.add_column("scorer", no_wrap=True, max_width=max(name_chars, len("overall")))
    for name in (baseline["version"], candidate["version"]):
        version_chars = (_NAMES_CHARS - name_chars) // 2
        table.add_column(Text(name), justify="right", no_wrap=True, max_width=version_chars)
    for name in ("diff", "95 % interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("E" if early else "needs", justify="right", no_wrap=True)
    for metric in value["metrics"]:
        interval = "" if metric["ci_low"] is None else f"{signed(metric['ci_low'])} {signed(metric['ci_high'])}"
        table.add_row(
            Text(metric["scorer"]),
            _rate(metric["baseline"]),
            _rate(metric["candidate"]),
            _difference(metric["difference"]),
            interval,
            _p(metric["p_adjusted"]),
            Text(metric["verdict"], style=_COLOURS[metric["verdict"]]),
            _evidence(metric.get("evidence")) if early else _needs(metric["rows_needed"]),
        )
    table.add_row()
    overall = _difference(value["overall_difference"])
    table.add_row("overall", _rate(baseline["overall"]), _rate(candidate["overall"]), overall, "", "", "", "")
    return Group(table, *(Text(line, style="dim italic") for line in _captions(value)), *_remarks(value), Text(""))


def changed_rows(value: Mapping[str, Any], *, key: str = "pass_to_fail", limit: int = 5) -> RenderableType:
    """The rows that changed, the first `limit` of them, both answers and rationales one under the other.

    Args:
        value: what `comparison_json` gives.
        key: `pass_to_fail` or `fail_to_pass`.
        limit: how many to show; the others are counted.
    """
    changed: Sequence[Mapping[str, Any]] = value[key]
    if not changed:
        return Text(f"No row turned from {key.replace('_to_', ' to ')}.", style="dim")
    shown: list[RenderableType] = [_panel(row, value, key) for row in changed[:limit]]
    if len(changed) > limit:
        shown.append(Text(f"and {len(changed) - limit} more", style="dim"))
    return Group(*shown)


def _panel(row: Mapping[str, Any], value: Mapping[str, Any], key: str) -> Panel:
    text = Text()
    inputs = row["inputs"] if isinstance(row["inputs"], Mapping) else {"inputs": row["inputs"]}
    for name, given in inputs.items():
        text.append(f"{name}: ", style="bold").append(f"{_shown(given)}\n")
    before, after = key.split("_to_")
    for side, label in (("baseline", before), ("candidate", after)):
        style = "green" if label == "pass" else "red"
        text.append(f"\n{value[side]['version']}: {label}\n", style=f"bold {style}")
        text.append(f"{_shown(row[side]['outputs'])}\n")
        text.append(f"{row[side]['rationale'] or 'no rationale'}\n", style="italic dim")
    text.rstrip()
    return Panel(text, title=Text(f"{row['scorer']}: {before} to {after}"), title_align="left")


def _shown(value: Any) -> str:
    return cut(pretty(value), OUTPUT_CHARS)


def _captions(value: Mapping[str, Any]) -> Iterable[str]:
    yield f"dataset {value['dataset']['name'] or 'without a name'}, digest {value['dataset']['digest'][:12]}"
    if "early_stop" in value:
        yield "E: evidence, which decides; p: McNemar's mid-p, Holm over the scorers, does not"
    else:
        yield "p: McNemar's mid-p, Holm over the scorers; needs: rows that would decide"


def _remarks(value: Mapping[str, Any]) -> Iterable[Text]:
    return (Text(f"- {remark}") for remark in remarks(value))


def _p(value: float | None) -> str:
    return "<.001" if value is not None and value < _SMALLEST_P else _rate(value)


def _needs(rows: int | None) -> str:
    if rows is None:
        return ""
    return str(rows) if rows <= _MOST_NEEDED else f">{_MOST_NEEDED // 1000}k"


def _evidence(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if value < _MOST_EVIDENCE else f">{_MOST_EVIDENCE}"


def _difference(value: float | None) -> Text:
    style = "" if not value else "green" if value > 0 else "red"
    return Text(signed(value), style=style)


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
