"""The ready-made deterministic scorers, called as plain MLflow scorers."""

from collections.abc import Callable
from typing import Any

import pytest
from mlflow.entities import Feedback, Trace
from pydantic import ValidationError

from scorers import heuristics as h

CASES: list[tuple[h.Heuristic, Any, str]] = [
    (h.AnswerLength(min_length=3, max_length=5), "abc", "yes"),
    (h.AnswerLength(min_length=3, max_length=5), "abcde", "yes"),
    (h.AnswerLength(min_length=3), "ab", "no"),
    (h.AnswerLength(max_length=5), "abcdef", "no"),
    (h.AnswerLength(max_length=2, unit="words"), "a  long\nanswer", "no"),
    (h.AnswerLength(max_length=5, field="email"), {"email": "abcde", "log": "x" * 99}, "yes"),
    (h.RequiredPatterns(patterns=["hello", r"\d{3}"]), "HELLO 123", "yes"),
    (h.RequiredPatterns(patterns="hello", ignore_case=False), "HELLO", "no"),
    (h.RequiredPatterns(patterns=["a", "z"]), {"x": "a", "y": ["b"]}, "no"),
    (h.ForbiddenPatterns(patterns=["guarantee", "refund"]), "We Guarantee it.", "no"),
    (h.ForbiddenPatterns(patterns=["guarantee"]), "We hope so.", "yes"),
    (h.ValidJson(), '{"a": [1, null]}', "yes"),
    (h.ValidJson(), {"a": 1}, "yes"),
    (h.ValidJson(), 'Sure! {"a": 1}', "no"),
    (h.ValidJson(), '{"a": NaN}', "no"),
    (h.ValidJson(), "[" * 100_000, "no"),
    (h.ValidJson(required_keys=["a", "b"]), '{"a": 1}', "no"),
    (h.ValidJson(required_keys=["a"]), "[1]", "no"),
    (h.Refusal(), "I'm sorry, but I can't help with that.", "no"),
    (h.Refusal(), "I\u2019m unable to assist you.", "no"),
    (h.Refusal(), "As an AI language model, I have no opinion.", "no"),
    (h.Refusal(phrases=["nope."]), "Nope. Ask another.", "no"),
    (h.Refusal(), "We cannot ship before Monday; the price is 5 EUR.", "yes"),
    (h.Refusal(), "x" * 300 + " I cannot help with that.", "yes"),
]


@pytest.mark.parametrize(("scorer", "outputs", "expected"), CASES, ids=lambda value: str(value)[:40])
def test_the_answer_decides(scorer: h.Heuristic, outputs: Any, expected: str) -> None:
    """Each heuristic answers yes or no with a rationale, under its own name."""
    feedback = scorer(outputs=outputs)
    assert isinstance(feedback, Feedback)
    assert (feedback.name, feedback.value) == (scorer.name, expected)
    assert feedback.rationale


def test_overlap_counts_content_words_in_the_retrieved_documents(make_trace: Callable[..., Trace]) -> None:
    """Common words do not count; the words that no document holds are named."""
    trace = make_trace("The latency was fixed by Zeus", retrieved=(["Ticket: API latency"], ["fixed last week"]))
    assert h.RetrievalOverlap(at_least=0.6)(trace=trace).value == "yes"
    strict = h.RetrievalOverlap(at_least=0.7)(trace=trace)
    assert strict.value == "no"
    assert "zeus" in str(strict.rationale)


def test_latency_bounds_the_traces_own_duration(make_trace: Callable[..., Trace]) -> None:
    """The bound itself is allowed."""
    assert h.Latency(max_seconds=0.25)(trace=make_trace(duration_ms=250)).value == "yes"
    assert h.Latency(max_seconds=0.25)(trace=make_trace(duration_ms=251)).value == "no"


@pytest.mark.parametrize(
    ("scorer", "reason"),
    [
        (h.AnswerLength(max_length=9, field="email"), "no field 'email'"),
        (h.RetrievalOverlap(), "no RETRIEVER span"),
        (h.Latency(max_seconds=1), "no duration"),
        (h.Refusal(), "no outputs"),
    ],
)
def test_what_cannot_be_judged_raises(scorer: h.Heuristic, reason: str, make_trace: Callable[..., Trace]) -> None:
    """Evaluate and the suite turn the ValueError into an error verdict: no yes or no is made up."""
    outputs = None if isinstance(scorer, h.Refusal) else "text"
    with pytest.raises(ValueError, match=reason):
        scorer(trace=make_trace(outputs, duration_ms=None))


@pytest.mark.parametrize(
    ("scorer", "wrong"),
    [
        (h.AnswerLength, {}),
        (h.AnswerLength, {"min_length": 5, "max_length": 4}),
        (h.AnswerLength, {"max_length": 4, "lenght": 3}),
        (h.RequiredPatterns, {"patterns": []}),
        (h.ForbiddenPatterns, {"patterns": ["("]}),
        (h.Latency, {"max_seconds": 0}),
        (h.RetrievalOverlap, {"at_least": 1.1}),
    ],
)
def test_wrong_parameters_are_refused(scorer: type[h.Heuristic], wrong: dict[str, Any]) -> None:
    """A misspelt or senseless parameter fails where the scorer is made."""
    with pytest.raises(ValidationError):
        scorer(**wrong)


def test_answer_text_reads_strings_completions_and_nested_values() -> None:
    """All text of an answer, and only its text."""
    completion = {"choices": [{"message": {"role": "assistant", "content": "Hi"}}], "id": "x"}
    assert h.answer_text(completion) == "Hi"
    assert h.answer_text({"a": "x", "b": [1, {"c": None, "d": "y"}]}) == "x\n1\ny"
