"""The documentation of the configuration is what the models say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.config import config_schema
from monitor.config.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def _models(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    yield from (model for model in schema["$defs"].values() if model.get("type") == "object")


def test_the_page_is_up_to_date():
    """`docs/configuration.md` is what `python -m monitor.config.reference docs/configuration.md` writes."""
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_every_key_of_the_schema_is_documented_once():
    """The page has as many rows as the JSON Schema has keys, and each has a meaning."""
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    keys = [key for model in _models(config_schema()) for key in model["properties"]]
    assert sorted(row.split("`")[1] for row in rows) == sorted(keys)
    assert all(row.rstrip(" |").count("|") >= 4 and not row.endswith("|  |") for row in rows)


def test_defaults_are_written_as_a_file_writes_them():
    """Durations, sizes and secrets' defaults stand in the notation that the file takes."""
    page = reference()
    assert "| `session_timeout` | duration | `45s` |" in page
    assert "| `fetch_bytes` | size | `16MiB` |" in page
    assert "| `window` | duration, at least 1m | `24h` |" in page
    assert "| `url` | text, secret | `sqlite:///tracewatch.db` |" in page
