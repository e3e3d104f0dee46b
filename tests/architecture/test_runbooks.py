"""Every alert has a runbook, in the order in which the on-call thinks, with commands that exist."""

import re
from pathlib import Path
from typing import get_args

import pytest
import typer.main

from monitor.alerts.kinds import AlertKind
from monitor.cli import app

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
RUNBOOKS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
ORDER = ["Real or judge?", "Which version or slice?", "What to do", "Whom to call"]


def test_every_kind_of_alert_has_a_runbook() -> None:
    """By its name; those of Prometheus's rules are held by the tests of the rules."""
    assert set(get_args(AlertKind)) <= {path.stem for path in RUNBOOKS}


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_asks_in_the_order_of_the_on_call_and_names_commands_that_exist(path: Path) -> None:
    """Real or judge, which slice, what to do, whom to call."""
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ORDER
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    assert set(re.findall(r"`tracewatch ([a-z-]+)", text)) <= commands


def test_the_list_of_runbooks_is_complete() -> None:
    """The page that leads to them names each."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in RUNBOOKS} == set(re.findall(r"\]\((\w+\.md)\)", page))
