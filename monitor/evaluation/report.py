"""A comparison as files: JSON for programs, CSV for spreadsheets, an HTML page for people."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitor.evaluation.chart import difference_chart
from monitor.evaluation.comparison import Comparison
from monitor.evaluation.comparison_json import comparison_json
from monitor.evaluation.text_diff import marked
from monitor.evaluation.words import cut, pretty, remarks, signed

ROWS_SHOWN = 50
OUTPUT_CHARS = 20_000

_TEMPLATES = Path(__file__).parent / "templates"
_COLUMNS = (
    "scorer", "baseline", "candidate", "difference", "ci_low", "ci_high", "p_value", "p_exact", "p_adjusted",
    "pass_to_fail", "fail_to_pass", "n_paired", "errors_baseline", "errors_candidate", "verdict", "rows_needed", "note",
    "measure", "pass_rate_baseline", "pass_rate_candidate", "self_agreement", "evidence", "evidence_needed",
)  # fmt: skip


def report_files(comparison: Comparison) -> dict[str, str]:
    """The text of each file by its name: `comparison.json`, `comparison.csv` and `comparison.html`."""
    return {
        "comparison.json": json.dumps(comparison_json(comparison), indent=2, ensure_ascii=False, default=str) + "\n",
        "comparison.csv": metrics_frame(comparison).to_csv(index=False),
        "comparison.html": comparison_page(comparison),
    }


def metrics_frame(comparison: Comparison) -> pd.DataFrame:
    """One line for each scorer; what is not defined is empty."""
    lines = []
    for metric in comparison_json(comparison)["metrics"]:
        errors, rates = metric.pop("errors"), metric.pop("pass_rates", {})
        line = {**dict.fromkeys(_COLUMNS), **metric}
        line |= {f"errors_{version}": count for version, count in errors.items()}
        line |= {f"pass_rate_{version}": rate for version, rate in rates.items()}
        lines.append(line)
    frame = pd.DataFrame(lines, columns=list(_COLUMNS))
    # Whole numbers stay whole beside empty cells.
    return frame.astype({"rows_needed": "Int64"})


def comparison_page(comparison: Comparison) -> str:
    """A self-contained page: nothing is loaded from anywhere, and every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"rate": _rate, "signed": signed, "p": _p, "pretty": pretty, "evidence": _evidence}
    value = comparison_json(comparison)
    return environment.get_template("comparison.html").render(
        value=value,
        chart=difference_chart(value["metrics"]),
        remarks=remarks(value),
        changes=[
            ("From pass to fail", "pass", "fail", *_side_by_side(value["pass_to_fail"])),
            ("From fail to pass", "fail", "pass", *_side_by_side(value["fail_to_pass"])),
        ],
    )


def _side_by_side(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The first rows with both outputs in pieces, marked where they differ; and how many rows there are."""
    shown = []
    for row in rows[:ROWS_SHOWN]:
        texts = [cut(pretty(row[side]["outputs"]), OUTPUT_CHARS) for side in ("baseline", "candidate")]
        before, after = marked(*texts)
        shown.append(
            {
                "scorer": row["scorer"],
                "inputs": row["inputs"] if isinstance(row["inputs"], Mapping) else {"inputs": row["inputs"]},
                "baseline": {**row["baseline"], "pieces": before},
                "candidate": {**row["candidate"], "pieces": after},
            }
        )
    return shown, len(rows)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001


def _p(value: float | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001
    return "< .001" if value < 0.001 else f"{value:.3f}"  # noqa: PLR2004 - as p-values are printed


def _evidence(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"  # noqa: RUF001
