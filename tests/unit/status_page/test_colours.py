"""Contrast, by the formula of WCAG 2: text is readable on what it stands on, in light and in dark."""

import re
from pathlib import Path

import pytest

import monitor.status_page

CSS = (Path(monitor.status_page.__file__).parent / "templates" / "status.css").read_text(encoding="utf-8")
TONES = ("bad", "warn", "open", "learning", "good")
ON = [
    ("ink", "page"),
    ("ink", "card"),
    ("ink", "sunk"),
    ("soft", "page"),
    ("soft", "card"),
    ("soft", "sunk"),
    ("link", "card"),
    ("link", "sunk"),
]
ON += [(tone, ground) for tone in TONES for ground in (f"{tone}-bg", "card")] + [
    ("ink", f"{tone}-bg") for tone in TONES
]


def scheme(dark: bool) -> dict[str, str]:
    """Name -> colour, as the style sheet sets it."""
    light, _, rest = CSS.partition("@media (prefers-color-scheme: dark)")
    pairs = re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light if not dark else rest.partition("\n}\n")[0])
    return dict(pairs)


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), ON, ids=lambda name: name)
def test_text_stands_out_from_its_ground(text: str, ground: str, dark: bool) -> None:
    """4.5 to 1, the bound for text of any size."""
    colours = scheme(dark)
    lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
