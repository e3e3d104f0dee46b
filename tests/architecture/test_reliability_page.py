"""The page of promises names tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_proof_that_is_named_is_a_test_that_exists() -> None:
    """By its file and its name."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)
    assert len(named) > 50
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path, _ in named}
    missing = [(path, name) for path, name in named if not re.search(rf"^(def )?{name}\b", texts[path], re.MULTILINE)]
    assert missing == []
