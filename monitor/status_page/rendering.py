"""From the view to HTML. Every text is data: it is masked, made printable, cut to a length, and escaped.

The policy in `CONTENT_SECURITY_POLICY` allows the page's own style sheet, by its hash, and its own icon: nothing else
is loaded or run, whatever a text manages to be.
"""

import base64
import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from monitor.printable import printable
from monitor.status_page import graphs, words
from monitor.status_page.headline import headline_of
from monitor.status_page.tiles import tiles_of
from monitor.status_page.view import STATES, PageView, Tone

TEXT_CHARS: Final = 2_000
NAME_CHARS: Final = 120
PROSE_CHARS: Final = 500
REFRESH_S: Final = 60

_KEPT: Final = "\n\t\u00a0"
_BETWEEN_WORDS: Final = re.compile(r"(?<=[_.=:/-])(?=\w)")
_TEMPLATES: Final = Path(__file__).parent / "templates"
_STYLE: Final = (_TEMPLATES / "status.css").read_text(encoding="utf-8")

CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_ICON_COLOURS: Final[dict[Tone, str]] = {
    "bad": "#c62828",
    "warn": "#b26a00",
    "open": "#6b7785",
    "learning": "#2f63b5",
    "good": "#1b7f4b",
}
_KINDS: Final = {
    "production_regression": "Quality in production has fallen",
    "candidate_regression": "A candidate is worse than its baseline",
    "unknown": "Nothing can be said of this series",
    "scorer_failing": "A scorer keeps failing",
    "judge_moved": "The judge has changed its mind",
    "accounting_mismatch": "Events do not add up",
    "lost_to_retention": "Events were deleted unread",
    "dead_letters": "Too many messages are no trace events",
    "spend_exhausted": "The day's spend is running out",
}
_EXAMPLES: Final = {
    "production_regression": "Traces that moved the number most",
    "candidate_regression": "Traces that turned from pass to fail",
    "scorer_failing": "Traces on which the scorer failed",
    "judge_moved": "Traces that the judge judges otherwise now",
}


def page_html(view: PageView, *, refresh: bool, mask: Callable[[str], str] = str) -> str:
    """The page. `refresh` has the browser ask again each minute; `mask` takes secrets out of every text."""
    headline = headline_of(view)
    return _template(mask).render(
        view=view,
        headline=headline,
        tiles=tiles_of(view),
        icon_url=_icon(headline.tone),
        refresh_s=REFRESH_S if refresh else None,
        states=STATES,
    )


@lru_cache(maxsize=4)
def _template(mask: Callable[[str], str]) -> Template:
    def as_data(value: Any) -> Any:
        # What the template itself has made is markup; all else comes from somewhere.
        if isinstance(value, str) and not isinstance(value, Markup):
            return words.shortened(printable(mask(value), keep=_KEPT), TEXT_CHARS)
        return value

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=as_data,
    )
    environment.filters |= {
        "percent": words.percent,
        "points": words.points,
        "count": words.count,
        "counted": words.counted,
        "amount": words.amount,
        "fact": words.fact,
        "named": words.named,
        "duration": words.duration,
        "moment": words.moment,
        "machine_time": words.machine_time,
        "sparkline": graphs.sparkline,
        "whisker": graphs.whisker,
        "reach": graphs.reach_of,
        "filled": graphs.filled,
        # Masked before it is cut: half a secret is not found.
        "short": lambda text, most: words.shortened(mask(text), most),
        "prose": lambda text: _prose(as_data(words.shortened(mask(text), PROSE_CHARS))),
        "name": lambda text: _breakable(as_data(words.shortened(mask(text), NAME_CHARS))),
        "kind": lambda kind: _KINDS.get(kind, words.named(kind).capitalize()),
        "examples": lambda kind: _EXAMPLES.get(kind, "Examples"),
    }
    # Our own file, whose hash stands in the policy: it must not change by a character.
    environment.globals["style"] = Markup(_STYLE)  # noqa: S704
    return environment.get_template("status.html")


def _breakable(name: str) -> Markup:
    """The name, escaped, which may go on in the next line after a sign between its words."""
    return Markup("<wbr>").join(escape(part) for part in _BETWEEN_WORDS.split(name))


def _prose(text: str) -> Markup:
    """Our own words, escaped, with what stands between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def _icon(tone: Tone) -> str:
    circle = f"<circle cx='8' cy='8' r='7' fill='{_ICON_COLOURS[tone]}'/>"
    return "data:image/svg+xml," + quote(f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>{circle}</svg>")
