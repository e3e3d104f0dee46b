"""Texts of customers, judges and traffic in what people read: bounded, one line, and harmless. Pure."""

from typing import Final

from monitor.printable import printable

LONGEST_NAME: Final = 200

# `@channel` and `<!here>` would ring everybody's telephone, an address would be a link that the page seems to give.
_HARMFUL = (("@", "(at)"), ("://", "[:]//"), ("<", "["), (">", "]"), ("`", "'"), ("](", "] ("))


def bounded_text(text: str, longest: int = LONGEST_NAME) -> str:
    """One line of at most so many characters, of which none acts on the reader's screen."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def defused(text: str, longest: int = LONGEST_NAME) -> str:
    """The same, and it calls nobody in a chat and is no link."""
    line = bounded_text(text, longest)
    for harmful, harmless in _HARMFUL:
        line = line.replace(harmful, harmless)
    return line
