"""One text for equal JSON values, and digests of it."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Sorted keys, no spaces, no escapes of letters: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def canonical_digest(value: Any) -> str:
    """Sha-256 of the canonical text, 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def rows_digest(rows: list[Any]) -> str:
    """Sha-256 over the sorted canonical rows: their order does not matter, 64 hex digits."""
    text = "\n".join(sorted(canonical_json(row) for row in rows))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
