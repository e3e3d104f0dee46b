"""Ready-made deterministic scorers: plain MLflow scorers that need no key and no daemon.

    mlflow.genai.evaluate(data=traces, scorers=[AnswerLength(max_length=200, unit="words"), Refusal()])

Each answers ``yes`` (good) or ``no`` with a rationale. What it cannot judge (no answer, no retrieved documents) it
raises as ValueError, which MLflow and Tracewatch record as an error verdict: never a yes or no made up.
"""

import json
import re
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self

from mlflow.entities import Feedback, Trace
from mlflow.genai.scorers import Scorer
from mlflow.genai.utils.trace_utils import extract_retrieval_context_from_trace
from pydantic import ConfigDict, Field, field_validator, model_validator

__all__ = [
    "AnswerLength",
    "ForbiddenPatterns",
    "Latency",
    "Refusal",
    "RequiredPatterns",
    "RetrievalOverlap",
    "ValidJson",
]

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
# Words that any English sentence shares with any document: they say nothing about the overlap of content.
# Split from one string, as a hundred quoted words are hard to read.
_COMMON_WORDS = frozenset(
    """
    a about above after again all also am an and any are as at be because been before being but by can could did do does
    for from further had has have he her here him his how i if in into is it its just let me more most my no not now of
    on once only or other our out over own please she should so some such than that the their them then there these they
    this those to too under until up us very was we were what when where which while who whom why will with would you
    your
    """.split()  # noqa: SIM905
)
_REFUSAL_PHRASES = (
    r"\bI(?:'m| am)(?: very| so| really)? sorry,? (?:but )?(?:I|we) (?:can(?:'t|not)|am unable|'m unable|won't)",
    (
        r"\b(?:I|we) (?:can(?:'t|not)|could not|couldn't|won't|will not|am unable to|'m unable to|are unable to|"
        r"am not able to|'m not able to) (?:help|assist|answer|provide|comply|fulfil+|do that|create|generate|discuss|"
        r"share|support|continue with|respond)"
    ),
    r"\bI(?:'m| am) (?:unable|not able|not allowed|not permitted) to (?:help|assist|answer|provide|comply|discuss)",
    r"\bI (?:must|have to) (?:decline|refuse)\b",
    r"\bas an AI(?: language)? model,? I\b",
    r"\b(?:against|violates?) (?:my|our|the) (?:guidelines|polic(?:y|ies)|programming)\b",
)


class Heuristic(Scorer):
    """What the ready-made scorers share.

    Attributes:
        field: key of the outputs that holds the answer, where they are an object; without it all their text counts.
        revision: part of the scorer's version; raised whenever the same parameters may give another verdict.
    """

    model_config = ConfigDict(extra="forbid")
    revision: ClassVar[int] = 1

    field: str | None = None

    def __call__(self, *, outputs: Any = None, trace: Trace | None = None) -> Feedback:  # type: ignore[override]
        """Judge an answer; what is not given is taken from the trace."""
        return self.judge(outputs, trace)

    @abstractmethod
    def judge(self, outputs: Any, trace: Trace | None) -> Feedback:
        """The judgement of one answer."""

    def answer(self, outputs: Any, trace: Trace | None) -> str:
        """The answer's text; raises ValueError where there is none."""
        return answer_text(self.answer_value(outputs, trace))

    def answer_value(self, outputs: Any, trace: Trace | None) -> Any:
        """The answer as it was given; raises ValueError where there is none."""
        if outputs is None and trace is not None:
            outputs = next((span.outputs for span in trace.data.spans if span.parent_id is None), None)
        if self.field is not None:
            if not isinstance(outputs, dict) or self.field not in outputs:
                raise ValueError(f"the outputs have no field {self.field!r}")
            outputs = outputs[self.field]
        if outputs is None:
            raise ValueError("the trace has no outputs")
        return outputs

    def judged(self, good: bool, rationale: str) -> Feedback:  # noqa: FBT001 -- the judgement itself
        """A yes or no under this scorer's name."""
        return Feedback(name=self.name, value="yes" if good else "no", rationale=rationale)


class AnswerLength(Heuristic):
    """Whether the answer is neither too short nor too long; both bounds are allowed values."""

    name: str = "answer_length"
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=0)
    unit: Literal["characters", "words"] = "characters"

    @model_validator(mode="after")
    def _has_bounds(self) -> Self:
        if self.min_length is None and self.max_length is None:
            raise ValueError("AnswerLength needs min_length, max_length or both")
        if self.min_length is not None and self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self

    def judge(self, outputs: Any, trace: Trace | None) -> Feedback:
        """Count the answer's characters or words."""
        text = self.answer(outputs, trace)
        length = len(text.split()) if self.unit == "words" else len(text)
        if self.min_length is not None and length < self.min_length:
            return self.judged(False, f"{length} {self.unit}, fewer than the {self.min_length} required")
        if self.max_length is not None and length > self.max_length:
            return self.judged(False, f"{length} {self.unit}, more than the {self.max_length} allowed")
        return self.judged(True, f"{length} {self.unit}")


class _Patterns(Heuristic):
    patterns: list[str] = Field(min_length=1)
    ignore_case: bool = True

    @field_validator("patterns", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("patterns")
    @classmethod
    def _are_expressions(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return value

    def found(self, text: str) -> Iterator[tuple[str, re.Match[str] | None]]:
        flags = re.IGNORECASE if self.ignore_case else 0
        return ((pattern, re.search(pattern, text, flags)) for pattern in self.patterns)


class RequiredPatterns(_Patterns):
    """Whether every regular expression occurs in the answer."""

    name: str = "required_patterns"

    def judge(self, outputs: Any, trace: Trace | None) -> Feedback:
        """Search the answer for each pattern."""
        missing = [pattern for pattern, match in self.found(self.answer(outputs, trace)) if match is None]
        if missing:
            return self.judged(False, f"missing: {', '.join(map(repr, missing))}")
        return self.judged(True, f"all {len(self.patterns)} required patterns occur")


class ForbiddenPatterns(_Patterns):
    """Whether no regular expression occurs in the answer."""

    name: str = "forbidden_patterns"

    def judge(self, outputs: Any, trace: Trace | None) -> Feedback:
        """Search the answer for each pattern."""
        hits = [
            f"{pattern!r} as {match[0][:80]!r}" for pattern, match in self.found(self.answer(outputs, trace)) if match
        ]
        if hits:
            return self.judged(False, f"forbidden: {', '.join(hits)}")
        return self.judged(True, f"none of {len(self.patterns)} forbidden patterns occurs")


class ValidJson(Heuristic):
    """Whether the answer is JSON (an object or list already is), and has the required keys at its top level."""

    name: str = "valid_json"
    required_keys: list[str] = Field(default_factory=list)

    def judge(self, outputs: Any, trace: Trace | None) -> Feedback:
        """Parse the answer strictly: NaN and text around the JSON make it invalid."""
        value = self.answer_value(outputs, trace)
        if isinstance(value, str):
            try:
                value = json.loads(value, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:
                return self.judged(False, f"not JSON: {error}")
        if not self.required_keys:
            return self.judged(True, "valid JSON")
        if not isinstance(value, dict):
            return self.judged(False, f"JSON, but a {type(value).__name__} and no object")
        missing = [key for key in self.required_keys if key not in value]
        if missing:
            return self.judged(False, f"JSON without {', '.join(missing)}")
        return self.judged(True, f"valid JSON with {', '.join(self.required_keys)}")


class RetrievalOverlap(Heuristic):
    """Whether enough of the answer's different content words occur in the documents that the trace retrieved."""

    name: str = "retrieval_overlap"
    at_least: float = Field(default=0.5, ge=0, le=1)

    def judge(self, outputs: Any, trace: Trace | None) -> Feedback:
        """Compare the answer with the documents of all top-level RETRIEVER spans."""
        retrieved = extract_retrieval_context_from_trace(trace)
        if not retrieved:
            raise ValueError("the trace has no RETRIEVER span")
        answer = content_words(self.answer(outputs, trace))
        if not answer:
            raise ValueError("the answer has no words to compare")
        documents = content_words(" ".join(str(chunk["content"]) for chunks in retrieved.values() for chunk in chunks))
        share = len(answer & documents) / len(answer)
        strange = ", ".join(sorted(answer - documents)[:10])
        rationale = f"{share:.0%} of {len(answer)} content words occur in the documents, {self.at_least:.0%} required"
        return self.judged(share >= self.at_least, f"{rationale}; not in them: {strange}" if strange else rationale)


class Refusal(Heuristic):
    """Whether the answer does not begin with a refusal: ``no`` means that the application refused."""

    name: str = "refusal"
    phrases: list[str] = Field(default_factory=list)
    within: int = Field(default=300, ge=1)

    def judge(self, outputs: Any, trace: Trace | None) -> Feedback:
        """Look for English refusals and for the given phrases in the answer's first ``within`` characters."""
        beginning = self.answer(outputs, trace)[: self.within].replace("\u2019", "'")
        for pattern in (*_REFUSAL_PHRASES, *map(re.escape, self.phrases)):
            if match := re.search(pattern, beginning, re.IGNORECASE):
                return self.judged(False, f"refuses: {match[0]!r}")
        return self.judged(True, "no refusal found")


class Latency(Heuristic):
    """Whether the trace took no longer than ``max_seconds``."""

    name: str = "latency"
    max_seconds: float = Field(gt=0)

    def judge(self, outputs: Any, trace: Trace | None) -> Feedback:  # noqa: ARG002
        """Read the trace's own duration."""
        milliseconds = trace.info.execution_duration if trace is not None else None
        if milliseconds is None:
            raise ValueError("the trace has no duration")
        seconds = milliseconds / 1000
        return self.judged(seconds <= self.max_seconds, f"{seconds:.3f} s, {self.max_seconds:g} s allowed")


def answer_text(value: Any) -> str:
    """The text in an answer: a string, a chat completion's message, else all its strings and numbers, line by line."""
    if isinstance(value, dict):
        match value:
            case {"choices": [{"message": {"content": str(content)}}, *_]}:
                return content
        return "\n".join(text for item in value.values() if (text := answer_text(item)))
    if isinstance(value, list):
        return "\n".join(text for item in value if (text := answer_text(item)))
    return "" if value is None else str(value)


def content_words(text: str) -> frozenset[str]:
    """The different words of a text, case folded, without the commonest English ones."""
    return frozenset(
        word for word in (match[0].casefold() for match in _WORD.finditer(text)) if word not in _COMMON_WORDS
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
