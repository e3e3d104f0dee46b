"""A comparison on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.evaluation.report import pretty, signed

_COLOURS = {"improved": "green", "regressed": "bold red", "equivalent": "blue", "inconclusive": "dim"}
OUTPUT_CHARS = 800
_SMALLEST_P = 0.001


def comparison_table(value: Mapping[str, Any]) -> Table:
    """The metrics of the object that `comparison_json` gives, with the overall rates as the last line."""
    baseline, candidate = value["baseline"], value["candidate"]
    rows = value["dataset"]["rows"]
    table = Table(
        title=f"{candidate['version']} against {baseline['version']} on {rows} rows",
        caption=_caption(value),
        header_style="bold",
        # Eight columns fit a terminal of 80 characters only without lines between them.
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("scorer", no_wrap=True)
    for name in (baseline["version"], candidate["version"], "diff", "95 % interval", "p"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    table.add_column("verdict")
    table.add_column("needs", justify="right")
    for metric in value["metrics"]:
        interval = "" if metric["ci_low"] is None else f"{signed(metric['ci_low'])} {signed(metric['ci_high'])}"
        table.add_row(
            Text(metric["scorer"]),
            _rate(metric["baseline"]),
            _rate(metric["candidate"]),
            _difference(metric["difference"]),
            interval,
            _p(metric["p_adjusted"]),
            _verdict(metric),
            "" if metric["rows_needed"] is None else str(metric["rows_needed"]),
        )
    table.add_row()
    overall = _difference(value["overall_difference"])
    table.add_row("overall", _rate(baseline["overall"]), _rate(candidate["overall"]), overall, "", "", "", "")
    return table


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
        text.append(f"{name}: ", style="bold").append(f"{_short(given)}\n")
    before, after = key.split("_to_")
    for side, label in (("baseline", before), ("candidate", after)):
        style = "green" if label == "pass" else "red"
        text.append(f"\n{value[side]['version']}: {label}\n", style=f"bold {style}")
        text.append(f"{_short(row[side]['outputs'])}\n")
        text.append(f"{row[side]['rationale'] or 'no rationale'}\n", style="italic dim")
    text.rstrip()
    return Panel(text, title=Text(f"{row['scorer']}: {before} to {after}"), title_align="left")


def _short(value: Any) -> str:
    text = pretty(value)
    return text if len(text) <= OUTPUT_CHARS else f"{text[:OUTPUT_CHARS]}… ({len(text) - OUTPUT_CHARS} more characters)"


def _caption(value: Mapping[str, Any]) -> str:
    name = value["dataset"]["name"] or "without a name"
    caption = f"dataset {name}, digest {value['dataset']['digest'][:12]}"
    if unpaired := value.get("unpaired"):
        caption += f"; unpaired rows: {unpaired['baseline']} and {unpaired['candidate']}"
    return f"{caption}\np: exact McNemar test, Holm over the scorers; needs: rows that would decide"


def _p(value: float | None) -> str:
    return "<.001" if value is not None and value < _SMALLEST_P else _rate(value)


def _verdict(metric: Mapping[str, Any]) -> Text:
    verdict = metric["verdict"]
    text = Text(verdict, style=_COLOURS[verdict])
    errors = metric["errors"]["baseline"] + metric["errors"]["candidate"]
    if errors:
        text.append(f", {errors} errors", style="yellow")
    if metric.get("note"):
        text.append(f", {metric['note']}", style="dim")
    return text


def _difference(value: float | None) -> Text:
    style = "" if not value else "green" if value > 0 else "red"
    return Text(signed(value), style=style)


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
