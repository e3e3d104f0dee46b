"""Foreign text cannot act on a terminal, nor forge a line of a log."""

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.logs import LogSettings, set_up_logs
from monitor.printable import Printable, printable

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \rback\x00 \u202eright to left\u2028 [bold]markup[/bold]\x9b2J"


@given(st.text())
def test_what_is_printable_is_unchanged_and_nothing_else_is_left(text):
    """Letters of every script stay; control characters, separators and marks of direction are spelt out."""
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


def test_escape_sequences_are_spelt_out():
    """As Python writes them."""
    assert printable("a\x1b[31mb\r\nc") == r"a\x1b[31mb\r\nc"
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert printable("Grüße, 漢字") == "Grüße, 漢字"


def test_tables_and_panels_are_printable_in_every_cell():
    """Rich takes a hostile cell as it is; drawn through `Printable` nothing of it reaches the terminal."""
    table = Table("scorer")
    table.add_row(Text(HOSTILE))
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, color_system=None)
    console.print(Printable(Group(table, Panel(Text(HOSTILE)))))
    text = out.getvalue()
    assert all(line.isprintable() for line in text.split("\n"))
    assert r"\x1b[31mred" in text
    assert "[bold]markup[/bold]" in text


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_record_of_the_log_is_one_line_whatever_is_in_it(form):
    """No forged record, no escape sequence: from the daemon's own log, a library's, and the words of an error."""
    out = io.StringIO()
    log = set_up_logs(LogSettings(format=form), out)
    try:
        log.info("event", cause="x\n2026-01-01 [error] forged " + HOSTILE, nested={"deep": HOSTILE})
        logging.getLogger("library").warning("%s", "x\nforged " + HOSTILE)
    finally:
        set_up_logs(LogSettings())
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    if form == "json":
        assert json.loads(lines[0])["cause"].startswith("x\n2026")


def test_a_traceback_keeps_its_lines_and_loses_the_escapes():
    """Its last line holds foreign words."""
    out = io.StringIO()
    log = set_up_logs(LogSettings(format="console"), out)
    try:
        _fail()
    except ValueError:
        log.exception("failed")
    finally:
        set_up_logs(LogSettings())
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()
    assert 'Traceback (most recent call last):\n  File "' in out.getvalue()


def _fail():
    raise ValueError(HOSTILE)
