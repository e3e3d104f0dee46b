"""JSON as the ledger writes it: one text for one value."""

import json
from collections.abc import Mapping
from typing import Any


def dumps(value: Any) -> str:
    """Canonical text: sorted keys, no blanks, ASCII only, so that no database trips over a character.

    Raises:
        TypeError: something in it is no JSON value.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def loads(text: str) -> Any:
    """The value of such a text."""
    return json.loads(text)
