"""Tables for a terminal of 80 characters."""

from collections.abc import Iterable, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text


def plain_table(title: str, columns: Iterable[str], rows: Sequence[tuple[str, ...]]) -> RenderableType:
    """A table without lines, or a line of text where there are no rows."""
    if not rows:
        return Text(f"{title}: none yet\n", style="dim")
    # Without lines between them the widest table fits a terminal of 80 characters.
    table = Table(
        title=title, title_justify="left", header_style="bold", box=None, padding=(0, 1, 0, 0), pad_edge=False
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
