"""How feedback values become verdicts."""

import math

import pytest
from mlflow.entities import Feedback
from mlflow.genai.judges import CategoricalRating

from scorers.values import ValueRules, to_verdict

SCALE = ValueRules(limits=(1, 5), pass_at=4)


@pytest.mark.parametrize("value", [True, "yes", "YES", " true ", "pass", CategoricalRating.YES])
def test_yes_true_and_pass_are_a_pass_of_one(value: object) -> None:
    """The words that DESIGN.md names pass, in any case."""
    verdict = to_verdict(Feedback(value=value), ValueRules())
    assert (verdict.label, verdict.value) == ("pass", 1.0)


@pytest.mark.parametrize("value", [False, "no", "False", "FAIL", CategoricalRating.NO])
def test_no_false_and_fail_are_a_fail_of_zero(value: object) -> None:
    """The words that DESIGN.md names fail, in any case."""
    verdict = to_verdict(Feedback(value=value), ValueRules())
    assert (verdict.label, verdict.value) == ("fail", 0.0)


@pytest.mark.parametrize(
    ("number", "rules", "label", "value"),
    [
        (5, SCALE, "pass", 1.0),
        (4, SCALE, "pass", 0.75),
        (3.9, SCALE, "fail", 0.725),
        (1, SCALE, "fail", 0.0),
        (2, ValueRules(limits=(0, 10), pass_at=3, better="lower"), "pass", 0.8),
        (3, ValueRules(limits=(0, 10), pass_at=3, better="lower"), "pass", 0.7),
        (9, ValueRules(limits=(0, 10), pass_at=3, better="lower"), "fail", 0.1),
    ],
)
def test_a_number_is_scaled_by_its_limits_and_passes_at_its_bar(
    number: float, rules: ValueRules, label: str, value: float
) -> None:
    """Limits map to 0..1 with 1 good; pass_at is in the scorer's own unit and itself passes."""
    verdict = to_verdict(Feedback(value=number), rules)
    assert verdict.label == label
    assert verdict.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("value", "rules", "hint"),
    [
        (0.7, ValueRules(), "needs `limits"),
        (6, SCALE, "outside limits"),
        (math.nan, SCALE, "outside limits"),
        (math.inf, SCALE, "outside limits"),
        ("so-so", ValueRules(), "needs `passing`"),
        (CategoricalRating.UNKNOWN, ValueRules(), "needs `passing`"),
        ("4", SCALE, "needs `passing`"),
        ([1, 2], ValueRules(), "type list"),
        ({"a": 1}, SCALE, "type dict"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_reason(value: object, rules: ValueRules, hint: str) -> None:
    """An unknown value never becomes a number."""
    verdict = to_verdict(Feedback(value=value), rules)
    assert (verdict.label, verdict.value) == ("error", None)
    assert hint in str(verdict.reason)


def test_passing_decides_alone_where_it_is_given() -> None:
    """Other categories need `passing`, which also turns yes and no around; a YAML `no` arrives as False."""
    tone = ValueRules(passing=("Warm", "neutral"))
    assert to_verdict(Feedback(value="warm"), tone).label == "pass"
    assert to_verdict(Feedback(value="cold"), tone).label == "fail"
    harmless = ValueRules(passing=(False,))
    assert to_verdict(Feedback(value="no"), harmless).label == "pass"
    assert to_verdict(Feedback(value="yes"), harmless).label == "fail"


def test_a_failed_scorer_is_an_error_verdict_with_its_message() -> None:
    """A feedback with an error has no value, whatever the rules."""
    verdict = to_verdict(Feedback(error=ValueError("no outputs")), SCALE)
    assert (verdict.label, verdict.value, verdict.reason) == ("error", None, "no outputs")


@pytest.mark.parametrize(
    "wrong",
    [
        {"limits": (0, 1)},
        {"pass_at": 1},
        {"limits": (1, 1), "pass_at": 1},
        {"limits": (0, 1), "pass_at": 2},
        {"limits": (0, math.inf), "pass_at": 2},
    ],
)
def test_rules_that_contradict_themselves_are_refused(wrong: dict[str, object]) -> None:
    """Limits and pass_at come together and fit."""
    with pytest.raises(ValueError, match=r"limits|pass_at"):
        ValueRules(**wrong)  # type: ignore[arg-type]
