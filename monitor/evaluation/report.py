"""A comparison as files: JSON for programs, CSV for spreadsheets, an HTML page for people."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitor.evaluation.comparison import Comparison, comparison_json

_TEMPLATES = Path(__file__).parent / "templates"
_COLUMNS = (
    "scorer", "baseline", "candidate", "difference", "ci_low", "ci_high", "p_value", "p_exact", "p_adjusted",
    "pass_to_fail", "fail_to_pass", "n_paired", "errors_baseline", "errors_candidate", "verdict", "rows_needed", "note",
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
        errors = metric.pop("errors")
        lines.append(
            {"note": None, **metric, "errors_baseline": errors["baseline"], "errors_candidate": errors["candidate"]}
        )
    frame = pd.DataFrame(lines, columns=list(_COLUMNS))
    # Whole numbers stay whole beside empty cells.
    return frame.astype({"rows_needed": "Int64"})


def comparison_page(comparison: Comparison) -> str:
    """A self-contained page: nothing is loaded from anywhere, and every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"rate": _rate, "signed": signed, "p": _p, "pretty": pretty}
    return environment.get_template("comparison.html").render(
        comparison=comparison, value=comparison_json(comparison), too_few=comparison.rows < comparison.rows_to_decide
    )


def signed(value: float | None) -> str:
    """A difference with its sign and three digits; an en dash where there is none."""
    return "–" if value is None else f"{value:+.3f}"  # noqa: RUF001 - the typographic sign for 'none'


def pretty(value: Any) -> str:
    """A JSON value for people: text as it is, an object with one text in it as that text."""
    if isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001


def _p(value: float | None) -> str:
    if value is None:
        return "–"  # noqa: RUF001
    return "< .001" if value < 0.001 else f"{value:.3f}"  # noqa: PLR2004 - as p-values are printed
