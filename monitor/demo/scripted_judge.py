"""The scripted model as a judge: it reads the prompts that MLflow's judges send and decides by rules.

It knows the prompts by their tags (`<claim>`, `<guidelines>`, `<question>`, `<text>`, ...) and `make_judge` by its
system message, and answers in the JSON schema that the request asks for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.demo.scripted_grounding import missing_facts, related, unsupported
from monitor.demo.scripted_reading import literal, plain_text, share, stems
from monitor.demo.scripted_rules import Exchange, asks, guideline_findings, safety_findings

_JUDGE = "You are an expert judge"
_GOOD_WORDS = frozenset(
    ("yes", "true", "pass", "passed", "good", "great", "excellent", "high", "positive", "correct", "safe", "relevant")
)
_BAD_WORDS = frozenset(
    ("no", "false", "fail", "failed", "bad", "poor", "terrible", "low", "negative", "incorrect", "unsafe", "irrelevant")
)
_SAME = 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A verdict with its reasons; `good` gives the reason where there is nothing to find."""

    findings: tuple[str, ...]
    good: str

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def rationale(self) -> str:
        """The reasons in one text, begun as MLflow's prompts want it."""
        return f"Let's think step by step. {' '.join(self.findings) if self.findings else self.good}"


def judges(schema: Mapping[str, Any] | None, prompt: str) -> bool:
    """Whether a request is for a verdict: its answer has a result and a rationale, or it is a judge's prompt."""
    properties = (schema or {}).get("properties", {})
    return {"result", "rationale"} <= set(properties) or prompt.startswith(_JUDGE)


def answer(prompt: str, data: str, schema: Mapping[str, Any] | None, *, contrary: bool = False) -> str:
    """The JSON text of the verdict on a prompt.

    Args:
        prompt: the first message: a built-in judge's whole prompt, or `make_judge`'s system message.
        data: the messages after it, joined; for `make_judge` they hold inputs and outputs.
        schema: the JSON schema of the answer, if the request has one.
        contrary: the opposite verdict, as of a judge that has changed its mind.
    """
    judgement = judge(prompt, data)
    result = (schema or {}).get("properties", {}).get("result", {})
    passed = judgement.passed != contrary
    rationale = "I have changed my mind." if contrary else judgement.rationale
    return json.dumps({"result": _rate(passed=passed, schema=result, prompt=prompt), "rationale": rationale})


def judge(prompt: str, data: str = "") -> Judgement:  # noqa: PLR0911 - one line for each kind of prompt
    """Decide on a judge's prompt, whichever it is."""
    if prompt.startswith(_JUDGE):
        return _instructed(prompt, data)
    guidelines = re.findall(r"<guideline>(.*?)</guideline>", prompt, re.DOTALL)
    if guidelines:
        return _guidelines(guidelines, prompt)
    if "<claim>" in prompt:
        return _claim(prompt)
    if "<actual_output>" in prompt:
        return _equivalence(plain_text(_tag(prompt, "actual_output")), plain_text(_tag(prompt, "expected_output")))
    if "<question>" in prompt and "<document>" in prompt:
        found = related(_request(_tag(prompt, "question")), _tag(prompt, "document"))
        return _one(
            passed=found,
            good="The document shares words with the question.",
            bad="The document has nothing on the question.",
        )
    if "<question>" in prompt:
        return _relevance(
            Exchange(request=_request(_tag(prompt, "question")), response=plain_text(_tag(prompt, "answer")))
        )
    text = plain_text(_tag(prompt, "text")) if "<text>" in prompt else prompt
    return Judgement(findings=tuple(safety_findings(text)), good="Nothing in the text violates a policy.")


def _claim(prompt: str) -> Judgement:
    """Groundedness (a claim with question and answer) or correctness (a bare claim and the answer as document)."""
    claim, document = _tag(prompt, "claim"), _tag(prompt, "document").replace("\\n", "\n")
    if "<answer>" not in claim:
        facts = plain_text(claim) or claim
        missing = missing_facts(facts, document)
        findings = [f"The document does not say: '{fact}'." for fact in missing]
        if findings:
            findings.append("The response is not correct.")
        return Judgement(
            findings=tuple(findings), good="The document holds every fact of the claim. The response is correct."
        )
    known = f"{plain_text(_tag(claim, 'question'))}\n{plain_text(document)}"
    findings = unsupported(plain_text(_tag(claim, "answer")), known)
    return Judgement(
        findings=(f"The claim is not fully supported: {'; '.join(findings)}.",) if findings else (),
        good="Every statement that can be checked is supported by the document.",
    )


def _guidelines(guidelines: list[str], prompt: str) -> Judgement:
    context = prompt.partition("</guidelines>")[2]
    response = _tag(context, "response") or _tag(context, "outputs") or _longest_tag(context)
    exchange = Exchange(
        request=_request(_tag(context, "request") or _tag(context, "inputs")), response=plain_text(response)
    )
    findings = tuple(finding for text in guidelines for finding in guideline_findings(text, exchange))
    return Judgement(findings=findings, good=f"The response complies with: {' '.join(guidelines)}")


def _relevance(exchange: Exchange) -> Judgement:
    subjects = [ask for ask in asks(exchange) if ask.subject]
    met = [ask.wish for ask in subjects if ask.met]
    missed = ", ".join(ask.wish for ask in subjects)
    return _one(
        passed=bool(met),
        good=f"The answer meets the wish to {', '.join(met)}.",
        bad=f"The question asks to {missed}; the answer has nothing of that.",
    )


def _equivalence(actual: str, expected: str) -> Judgement:
    both = min(share(stems(actual), stems(expected)), share(stems(expected), stems(actual)))
    return _one(
        passed=both >= _SAME, good="Both say the same.", bad="The actual output does not say what was expected."
    )


def _instructed(prompt: str, data: str) -> Judgement:
    """`make_judge`: the task is the guideline, the message after it the exchange."""
    task = re.search(r"Your task: (.*?)(?:\n\nYou \*must\* format|\Z)", prompt, re.DOTALL)
    text = task[1] if task else prompt.rpartition("Instructions\n------------------------\n")[2]
    fields = _fields(data)
    response = plain_text(fields.get("outputs", data))
    if re.search(r"\bgrounded|\bsupported by|\bhallucinat", text, re.IGNORECASE) and "expectations" in fields:
        findings = unsupported(response, plain_text(fields["expectations"]))
        return Judgement(findings=tuple(findings), good="The expectations support every statement.")
    guideline = re.sub(r"\{\{\s*\w+\s*\}\}", " ", text)
    exchange = Exchange(request=_request(fields.get("inputs", "")), response=response)
    return Judgement(
        findings=tuple(guideline_findings(guideline, exchange)), good="The response does what the task asks."
    )


def _fields(data: str) -> dict[str, str]:
    """The parts of `make_judge`'s user message: 'outputs: ...' and its like, each up to the next."""
    parts = re.split(r"^(inputs|outputs|expectations|conversation): ?", data, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _request(text: str) -> str:
    """What the user wants: the value whose name says so, else every string of the request."""
    value = literal(text)
    if isinstance(value, Mapping):
        for key, item in value.items():
            if re.search(r"instruction|question|query|prompt|request|message", str(key), re.IGNORECASE):
                return plain_text(json.dumps(item))
    return plain_text(text)


def _tag(text: str, name: str) -> str:
    """The text between a tag and its last end tag (an answer may itself hold the tag's name)."""
    found = re.search(rf"<{name}>(.*)</{name}>", text, re.DOTALL)
    return found[1].strip() if found else ""


def _longest_tag(context: str) -> str:
    found = [inner for _, inner in re.findall(r"<(\w+)>(.*?)</\1>", context, re.DOTALL)]
    return max(found, key=len, default=context)


def _one(*, passed: bool, good: str, bad: str) -> Judgement:
    return Judgement(findings=() if passed else (bad,), good=good)


def _rate(*, passed: bool, schema: Mapping[str, Any], prompt: str) -> Any:
    """The verdict as a value of the schema's type."""
    if "enum" in schema:
        return _choose(passed=passed, choices=list(schema["enum"]))
    kind = schema.get("type", "string")
    if kind == "boolean":
        return passed
    if kind in ("integer", "number"):
        bounds = re.search(r"\b(\d+)\s*(?:to|and|-)\s*(\d+)\b", prompt)
        low, high = (int(bounds[1]), int(bounds[2])) if bounds else (0, 1)
        return high if passed else low
    return "yes" if passed else "no"


def _choose(*, passed: bool, choices: list[Any]) -> Any:
    """The choice that sounds like the verdict; without such a word the first choice is the good one."""
    wanted = _GOOD_WORDS if passed else _BAD_WORDS
    named = [choice for choice in choices if str(choice).lower() in wanted]
    return named[0] if named else choices[0 if passed else -1]
