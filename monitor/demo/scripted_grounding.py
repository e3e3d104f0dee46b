"""Which statements of a text its sources support: the rules behind groundedness, correctness and relevance verdicts.

A statement needs support where it can be checked: numbers, names, dates, promises, and plain sentences about the world.
Greetings, questions and courtesies need none. What the question itself says counts as known.
"""

from __future__ import annotations

import re

from monitor.demo.scripted_reading import letter, sentences, share, stems, times

_COURTESY = re.compile(
    r"^(?:i hope|thank|thanks|please|(?:we|i) look forward|looking forward|let me|feel free|(?:i am|i'm|we are) happy"
    r"|happy to|we know|we are glad|we would like|i am (?:just )?(?:writing|following|checking)|here is|hi\b)",
    re.IGNORECASE,
)
_PROMISE = re.compile(
    r"\b(?:(?:i|we)(?:'ll| will| shall| promise| guarantee)|you(?:'ll| will) (?:have|get|receive|hear)|guaranteed?)\b",
    re.IGNORECASE,
)
_CONVERSATION = re.compile(r"\b(?:i|we|you|your|our|my|me|us)\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])[#$€£]?\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<=[a-z,;:'\"] )[A-Z][\w-]+")
_STATES = frozenset(("open", "resolved", "closed", "fixed", "critical", "fails", "pending", "requested"))
_SUPPORTED_SHARE = 0.4
_FACT_SHARE = 0.6


def unsupported(answer: str, known: str) -> list[str]:
    """The findings against an answer: each quotes a statement that `known` does not support."""
    body = letter(answer).body
    return [finding for line in sentences(body) if (finding := _fault(line, known)) is not None]


def missing_facts(claim: str, document: str) -> list[str]:
    """The statements of a claim that the document does not hold: numbers must agree, and 60 % of the words."""
    words = stems(document)
    return [
        line
        for line in sentences(claim)
        if share(stems(line), words) < _FACT_SHARE or not set(_NUMBER.findall(line)) <= set(_NUMBER.findall(document))
    ]


def related(question: str, document: str) -> bool:
    """Whether a document shares any content word with the question."""
    return bool(stems(question) & stems(document))


def _fault(line: str, known: str) -> str | None:
    """What is wrong with one sentence, by the first check that finds something."""
    if line.endswith("?"):
        return None
    return next(
        (fault for check in (_time, _number, _name, _contradicted, _plain) if (fault := check(line, known))), None
    )


def _time(line: str, known: str) -> str | None:
    unknown = [time for time in times(line) if time not in known.lower()]
    if not unknown:
        return None
    verb = "promises something for" if _PROMISE.search(line) else "names"
    return f"'{line}' {verb} '{unknown[0]}', which no document supports"


def _number(line: str, known: str) -> str | None:
    unknown = [number for number in _NUMBER.findall(line) if number.strip("#$€£") not in _digits(known)]
    return f"'{line}' says '{unknown[0]}', which no document supports" if unknown else None


def _name(line: str, known: str) -> str | None:
    unknown = [name for name in _NAME.findall(line) if name.lower() not in known.lower()]
    return f"'{line}' names '{unknown[0]}', which no document mentions" if unknown else None


def _plain(line: str, known: str) -> str | None:
    """A plain sentence about the world, no courtesy and nothing between you and me, shares 40 % of its words."""
    if _COURTESY.search(line) or _CONVERSATION.search(line):
        return None
    return f"no document supports '{line}'" if share(stems(line), stems(known)) < _SUPPORTED_SHARE else None


def _digits(text: str) -> set[str]:
    return {number.strip("#$€£") for number in _NUMBER.findall(text)}


def _contradicted(line: str, known: str) -> str | None:
    """A ticket whose state the line tells otherwise than the document does."""
    for ticket, told in re.findall(r"(#\d+)([^#]*)", line):
        source = re.search(rf"{ticket}\b([^#]*)", known.lower())
        said = _STATES & set(re.findall(r"[a-z]+", told.lower()))
        real = _STATES & set(re.findall(r"[a-z]+", source[1])) if source else frozenset()
        if said and real and not said & real:
            return f"'{line}' contradicts the document on {ticket}"
    return None
