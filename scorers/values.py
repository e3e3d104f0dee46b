"""From a feedback to a verdict: what passes, what fails, and what cannot be told (DESIGN.md, Statistics)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlflow.entities import Feedback

Label = Literal["pass", "fail", "error"]

_PASS_WORDS = frozenset({"yes", "true", "pass"})
_FAIL_WORDS = frozenset({"no", "false", "fail"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueRules:
    """How one scorer's values are read.

    Attributes:
        limits: lowest and highest number, in the scorer's own unit; numbers are scaled from them to 0..1.
        pass_at: the number, in the scorer's own unit, at which a verdict passes.
        better: ``lower`` reverses the scale, and passes at ``pass_at`` and below.
        passing: the categories that pass; with it every other category fails.

    Raises:
        ValueError: where limits and pass_at do not come together or do not fit.
    """

    limits: tuple[float, float] | None = None
    pass_at: float | None = None
    better: Literal["higher", "lower"] = "higher"
    passing: tuple[str | bool, ...] | None = None

    def __post_init__(self) -> None:
        if (self.limits is None) != (self.pass_at is None):
            raise ValueError("limits and pass_at belong together: give both or neither")
        if self.limits is not None and self.pass_at is not None:
            low, high = self.limits
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"limits must be two finite numbers, the lower first, got [{low}, {high}]")
            if not low <= self.pass_at <= high:
                raise ValueError(f"pass_at must lie within limits [{low}, {high}], got {self.pass_at}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a feedback is worth: ``value`` is 0..1 with 1 good, and None exactly where ``label`` is ``error``."""

    label: Label
    value: float | None
    reason: str | None = None


def to_verdict(feedback: Feedback, rules: ValueRules) -> Verdict:
    """The verdict of one feedback. What cannot be read is an error with its reason, never a number made up."""
    if feedback.error is not None:
        return _error(feedback.error.error_message or feedback.error.error_code)
    value = feedback.value
    if isinstance(value, bool | str):
        return _category_verdict(value, rules)
    if isinstance(value, int | float):
        return _number_verdict(float(value), rules)
    return _error(f"a value of type {type(value).__name__} is neither yes or no, nor a number, nor a category")


def same_category(values: Sequence[object]) -> bool:
    """Whether all values read as yes or no, so that they can be taken together."""
    return all(isinstance(value, bool | str) and _canonical(value) in {"yes", "no"} for value in values)


def is_no(value: object) -> bool:
    """Whether the value reads as no, false or fail."""
    return isinstance(value, bool | str) and _canonical(value) == "no"


def _canonical(value: bool | str) -> str:  # noqa: FBT001 -- the value itself
    word = str(value).strip().casefold()
    if word in _PASS_WORDS:
        return "yes"
    return "no" if word in _FAIL_WORDS else word


def _category_verdict(value: bool | str, rules: ValueRules) -> Verdict:  # noqa: FBT001 -- the value itself
    word = _canonical(value)
    if rules.passing is not None:
        passes = word in {_canonical(category) for category in rules.passing}
        return Verdict(label="pass" if passes else "fail", value=float(passes))
    if word == "yes":
        return Verdict(label="pass", value=1.0)
    if word == "no":
        return Verdict(label="fail", value=0.0)
    return _error(f"the category {str(value)[:80]!r} needs `passing`: which categories pass?")


def _number_verdict(number: float, rules: ValueRules) -> Verdict:
    if rules.limits is None or rules.pass_at is None:
        return _error(f"the number {number:g} needs `limits: [low, high]` and `pass_at`")
    low, high = rules.limits
    if not low <= number <= high:  # NaN lands here too
        return _error(f"the number {number:g} lies outside limits [{low:g}, {high:g}]")
    share = (number - low) / (high - low)
    lower = rules.better == "lower"
    passes = number <= rules.pass_at if lower else number >= rules.pass_at
    return Verdict(label="pass" if passes else "fail", value=1.0 - share if lower else share)


def _error(reason: str) -> Verdict:
    return Verdict(label="error", value=None, reason=reason)
