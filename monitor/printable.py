"""Foreign text on a terminal or in a log: what would act on the reader's screen is spelt out instead."""

from collections.abc import Iterator
from functools import lru_cache

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment


def printable(text: str, keep: str = "") -> str:
    r"""The text with control characters, escape sequences and marks of direction as `\x1b`, `\r`, `\u202e`.

    Args:
        text: anything.
        keep: characters that stay as they are, a line break for example.
    """
    if text.isprintable():
        return text
    return "".join(char if char in keep else _shown(char) for char in text)


class Printable:
    """What rich can draw, with all texts in it made printable; rich itself lets escape sequences pass."""

    def __init__(self, drawn: RenderableType) -> None:
        self._drawn = drawn

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self._drawn, options):
            yield segment if segment.control else Segment(printable(segment.text, keep="\n"), segment.style)


@lru_cache(maxsize=256)
def _shown(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()
