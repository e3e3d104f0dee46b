"""How the scripted model reads: sentences, word stems, times and the parts of a letter. Pure text, no model."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_PAST = re.compile(
    rf"\b(?:last (?:{_WEEKDAY}|week|month|quarter|year)|yesterday|\d+ (?:days|weeks) ago)\b", re.IGNORECASE
)
_SHORT = 4
_TIME = re.compile(
    rf"\b(?:{_WEEKDAY}|today|tomorrow|tonight|end of (?:the )?(?:day|week|month)|\d{{1,2}}:\d{{2}}|\d{{1,2}} ?[ap]m"
    rf"|\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}"
    rf"|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?|(?:within|in) (?:the next )?(?:\d+|one|two|three) (?:hour|day|week)s?)\b",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"^\s*((?:hi|hello|hey|dear|greetings|good (?:morning|afternoon|evening))\b[^\n,!:]*)[,!:]?", re.IGNORECASE
)
_SIGN_OFF = re.compile(
    r"^\s*(?:(?:best|kind|warm|with kind)(?:est)? )?(?:regards|wishes)\b|^\s*(?:yours|sincerely|cheers|best),?\s*$",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+|\n+")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*|\d[\d.,:]*")
_SUFFIX = re.compile(r"(?:ations?|ments?|ings?|edly|ied|ies|ed|es|ly|s|e|y)$")

_STOP_TEXT = """
    a about all also an and any are as at be been but by can could did do does done each email e-mail
    every for from get give had has have he her here him his how i if in into is it its just letter mail
    make many may me message more much must my no none not note of on one only or our out please re
    request response say send she should so some such tell than that the their them then there these
    they this those to up us use user very was we were what when which who will with within without
    would write you your customer answer output input text reply
    """
STOP_WORDS = frozenset(_STOP_TEXT.split())


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A letter's parts; a text without greeting or sign-off is all body."""

    greeting: str
    paragraphs: tuple[str, ...]
    sign_off: str

    @property
    def body(self) -> str:
        """The paragraphs without greeting and sign-off."""
        return "\n".join(self.paragraphs)

    @property
    def words(self) -> int:
        """How many words the body has."""
        return len(self.body.split())


def plain_text(value: str) -> str:
    """The words of an answer that came as JSON, as a Python literal, or as it is: all its strings, a line each."""
    return "\n".join(_strings(literal(value)))


def literal(text: str) -> Any:
    """The value that a text denotes in JSON or in Python's own notation; the text itself if it is neither."""
    stripped = text.strip()
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(stripped)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return stripped


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list | tuple | set):
        return [text for item in value for text in _strings(item)]
    return [] if value is None else [str(value)]


def letter(text: str) -> Letter:
    """Split a text into greeting, paragraphs and sign-off."""
    lines = text.strip().splitlines()
    cut = next((i for i, line in enumerate(lines) if i and _SIGN_OFF.match(line)), len(lines))
    body, sign_off = "\n".join(lines[:cut]), "\n".join(lines[cut:])
    greeting = _GREETING.match(body)
    rest = body[greeting.end() :] if greeting else body
    paragraphs = tuple(part.strip() for part in re.split(r"\n\s*\n", rest) if part.strip())
    return Letter(greeting=greeting[1].strip() if greeting else "", paragraphs=paragraphs, sign_off=sign_off.strip())


def sentences(text: str) -> list[str]:
    """The sentences and list items of a text."""
    return [part.strip(" -*\t") for part in _SENTENCE_END.split(text) if part and part.strip(" -*\t")]


def stem(word: str) -> str:
    """A crude stem: enough to see that price, prices and pricing are one word."""
    lowered = word.lower().strip("'-.,:")
    return _SUFFIX.sub("", lowered) if len(lowered) > _SHORT else lowered.removesuffix("s")


def stems(text: str) -> frozenset[str]:
    """The stems of a text's content words (no articles, pronouns or words about letters)."""
    return frozenset(stem(word) for word in _WORD.findall(text) if word.lower() not in STOP_WORDS)


def share(part: frozenset[str], whole: frozenset[str]) -> float:
    """How much of `part` is in `whole`, 0..1; 1 for an empty part."""
    return len(part & whole) / len(part) if part else 1.0


def times(text: str) -> list[str]:
    """Dates and times of day in lower case, without those that lie in the past ('yesterday', 'last week')."""
    return [found[0].lower() for found in _TIME.finditer(_PAST.sub(" ", text))]


def count_tokens(text: str) -> int:
    """A plausible token count: words and punctuation marks, at least 1."""
    return max(1, len(re.findall(r"\w+|[^\w\s]", text)))
