"""Which words of two texts differ."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

Piece = tuple[bool, str]
Pieces = tuple[Piece, ...]

# Finding the differences of longer texts would take seconds.
MOST_WORDS = 4_000

_WORD = re.compile(r"\s*\S+|\s+$")


def marked(before: str, after: str) -> tuple[Pieces, Pieces]:
    """Both texts in pieces, each with whether its words are missing in the other text.

    The pieces of a text put together are the text. White space alone is no difference. Of texts with more than
    `MOST_WORDS` words nothing is marked.
    """
    first, second = _WORD.findall(before), _WORD.findall(after)
    if max(len(first), len(second)) > MOST_WORDS:
        return _joined([(False, before)]), _joined([(False, after)])
    matcher = SequenceMatcher(None, [word.strip() for word in first], [word.strip() for word in second])
    left: list[Piece] = []
    right: list[Piece] = []
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        left.append((kind != "equal", "".join(first[i1:i2])))
        right.append((kind != "equal", "".join(second[j1:j2])))
    return _joined(left), _joined(right)


def _joined(pieces: Iterable[Piece]) -> Pieces:
    found: list[Piece] = []
    for changed, text in pieces:
        # A mark begins with its first word: the space before it belongs to what stands before.
        bare = text.lstrip() if changed else text
        for piece in ((False, text[: len(text) - len(bare)]), (changed, bare)):
            if not piece[1]:
                continue
            if found and found[-1][0] == piece[0]:
                found[-1] = (piece[0], found[-1][1] + piece[1])
            else:
                found.append(piece)
    return tuple(found)
