"""The traces that prove an alert, as far as a receiver may see them. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from monitor.alerts.alert import EXAMPLES
from monitor.alerts.receivers import Content
from monitor.delivery.foreign_text import defused
from monitor.delivery.links import Places
from monitor.delivery.proof import is_number

LONGEST: Final = 400
"""Characters of a rationale, of inputs and of outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceText:
    """What went into the application and what came out of it, redacted; None where that is not known."""

    inputs: str | None
    outputs: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One trace. Texts are redacted, shortened and harmless to a chat; they are None where they may not be seen.

    `good` is a trace with a like input that passed before.
    """

    trace_id: str
    link: str | None = None
    value: float | bool | None = None
    rationale: str | None = None
    inputs: str | None = None
    outputs: str | None = None
    good: "Example | None" = None


def examples_of(
    details: Mapping[str, Any],
    content: Content,
    places: Places,
    texts: Mapping[str, TraceText],
    redact: Callable[[str], str],
) -> tuple[Example, ...]:
    """The examples in an alert's details; none where the receiver has numbers alone."""
    if content == "none":
        return ()
    with_text = content == "redacted"
    found = []
    for given in _given(details):
        example = _example(given, places, texts if with_text else {}, redact if with_text else None)
        good = given.get("good")
        if isinstance(good, Mapping) and isinstance(good.get("trace_id"), str):
            beside = _example(good, places, texts if with_text else {}, redact if with_text else None)
            example = replace(example, good=beside)
        found.append(example)
    return tuple(found)


def trace_ids_of(details: Mapping[str, Any]) -> list[str]:
    """The traces whose texts such examples show."""
    ids = []
    for given in _given(details):
        ids.append(given["trace_id"])
        good = given.get("good")
        if isinstance(good, Mapping) and isinstance(good.get("trace_id"), str):
            ids.append(good["trace_id"])
    return ids


def lines_of(example: Example, number: int) -> Iterator[str]:
    """An example for people."""
    value = "" if example.value is None else f" ({example.value})"
    yield f"{number}. {example.link or example.trace_id}{value}"
    for name, text in (("why", example.rationale), ("in", example.inputs), ("out", example.outputs)):
        if text is not None:
            yield f"   {name}: {text}"
    if example.good is not None:
        yield f"   good before: {example.good.link or example.good.trace_id}"
        if example.good.outputs is not None:
            yield f"   good out: {example.good.outputs}"


def _given(details: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    examples = details.get("examples")
    if isinstance(examples, list | tuple):
        found = [each for each in examples if isinstance(each, Mapping) and isinstance(each.get("trace_id"), str)]
    else:
        turned = details.get("pass_to_fail")
        ids = turned if isinstance(turned, list | tuple) else ()
        found = [{"trace_id": each} for each in ids if isinstance(each, str)]
    return found[:EXAMPLES]


def _example(
    given: Mapping[str, Any], places: Places, texts: Mapping[str, TraceText], redact: Callable[[str], str] | None
) -> Example:
    trace_id = given["trace_id"]
    text = texts.get(trace_id)
    rationale, value = given.get("rationale"), given.get("value")
    return Example(
        trace_id=defused(trace_id),
        link=places.trace(trace_id),
        value=value if is_number(value) or isinstance(value, bool) else None,
        rationale=defused(redact(rationale), LONGEST) if redact is not None and isinstance(rationale, str) else None,
        inputs=None if text is None or text.inputs is None else defused(text.inputs, LONGEST),
        outputs=None if text is None or text.outputs is None else defused(text.outputs, LONGEST),
    )
