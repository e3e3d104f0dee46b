"""Sampling: the hash, the rules, nesting of rates, and the budget's floor."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.sampling import (
    Condition,
    SamplingSettings,
    TraceFacts,
    budget_factor,
    decide,
    matches,
    rate_of,
    uniform,
)

RATES = st.floats(0.0, 1.0)


def facts(**changes: Any) -> TraceFacts:
    """A plain trace, with what the test is about changed."""
    plain: dict[str, Any] = {
        "trace_id": "tr-0",
        "name": "answer",
        "status": "OK",
        "duration_ms": 1000.0,
        "app_version": "v1",
        "tags": {"tier": "gold"},
        "evaluation": False,
    }
    return TraceFacts(**(plain | changes))


@pytest.mark.parametrize(
    ("trace_id", "expected"),
    [
        ("tr-0", 0.3798783175489378),
        ("tr-1", 0.2965877460807342),
        ("tr-4bf92f3577b34da6a3ce929d0e0e4736", 0.7640298705535409),
    ],
)
def test_the_hash_gives_the_published_numbers(trace_id: str, expected: float) -> None:
    """Any replica, release or reimplementation gives a trace the same number."""
    assert uniform(trace_id) == expected


def test_the_hash_is_uniform_over_consecutive_ids() -> None:
    """Of 20,000 ids each tenth of the interval gets a tenth, within five standard deviations (212)."""
    counts = [0] * 10
    for number in range(20_000):
        counts[int(uniform(f"tr-{number}") * 10)] += 1
    assert all(abs(count - 2000) < 212 for count in counts)


@given(trace_id=st.text(), low=RATES, high=RATES)
def test_lower_rates_nest_in_higher_ones(trace_id: str, low: float, high: float) -> None:
    """What a low rate keeps, every higher rate keeps: one number serves all scorers and the dataset."""
    low, high = sorted((low, high))
    if decide(trace_id, low, "rate", min_rate=0.0).kept:
        assert decide(trace_id, high, "rate", min_rate=0.0).kept


@given(trace_id=st.text())
def test_always_and_never_are_certain(trace_id: str) -> None:
    """A rate of 1 keeps every trace and a rate of 0 none, whatever its hash and the budget's floor."""
    assert decide(trace_id, 1.0, "rate", min_rate=0.01).kept
    assert not decide(trace_id, 0.0, "rate", min_rate=0.01, factor=0.5).kept


@given(rate=RATES, min_rate=RATES, factor=st.floats(0.0, 1.0))
def test_the_budget_scales_down_to_the_floor_and_never_up(rate: float, min_rate: float, factor: float) -> None:
    """The probability is max(min(rate, min_rate), factor x rate): never above the rate, never below the floor."""
    decision = decide("tr-0", rate, "rate", min_rate=min_rate, factor=factor)
    assert decision.probability == max(min(rate, min_rate), factor * rate)
    assert min(rate, min_rate) <= decision.probability <= rate
    assert decision.kept == (uniform("tr-0") < decision.probability)


def test_the_reason_says_budget_only_where_the_budget_changed_the_probability() -> None:
    """The rule stays the reason while its rate stands."""
    assert decide("tr-0", 0.5, "rule:1", min_rate=0.01, factor=1.0).reason == "rule:1"
    assert decide("tr-0", 0.5, "rule:1", min_rate=0.01, factor=0.1).reason == "budget"
    assert decide("tr-0", 0.01, "rate", min_rate=0.01, factor=0.1).reason == "rate"


def test_the_first_matching_rule_gives_the_rate() -> None:
    """Order decides, not the highest rate; without a match the subject's own rate does, else the general one."""
    settings = SamplingSettings.model_validate(
        {
            "rate": 0.1,
            "rules": [
                {"when": {"tags": {"tier": "gold"}}, "rate": 0.3},
                {"when": {"status": "ERROR"}, "rate": "always"},
                {"when": {"name": "ping"}, "rate": "never"},
            ],
        }
    )
    plain: dict[str, Any] = {"tags": {}}
    assert rate_of(facts(status="ERROR"), settings, None) == (0.3, "rule:1")
    assert rate_of(facts(status="ERROR", **plain), settings, 0.7) == (1.0, "rule:2")
    assert rate_of(facts(name="ping", **plain), settings, 0.7) == (0.0, "rule:3")
    assert rate_of(facts(**plain), settings, 0.7) == (0.7, "rate")
    assert rate_of(facts(**plain), settings, 0.0) == (0.0, "rate")
    assert rate_of(facts(**plain), settings, None) == (0.1, "rate")


def test_an_evaluations_trace_is_left_out_whatever_the_rules_say() -> None:
    """Judging never feeds on itself."""
    settings = SamplingSettings.model_validate({"rules": [{"when": {}, "rate": 1.0}]})
    assert rate_of(facts(evaluation=True), settings, 1.0) == (0.0, "evaluation")


@pytest.mark.parametrize(
    ("condition", "met", "missed"),
    [
        ({"status": "ERROR"}, {"status": "ERROR"}, {"status": "OK"}),
        ({"longer_than": "2s"}, {"duration_ms": 2000.1}, {"duration_ms": 2000.0}),
        ({"shorter_than": "2s"}, {"duration_ms": 1999.9}, {"duration_ms": 2000.0}),
        ({"longer_than": "0s"}, {"duration_ms": 1.0}, {"duration_ms": None}),
        ({"shorter_than": "1h"}, {"duration_ms": 1.0}, {"duration_ms": None}),
        ({"tags": {"a": "1", "b": "2"}}, {"tags": {"a": "1", "b": "2", "c": "3"}}, {"tags": {"a": "1"}}),
        ({"app_version": "v2"}, {"app_version": "v2"}, {"app_version": None}),
        ({"name": "ping"}, {"name": "ping"}, {"name": "pong"}),
        ({"name": "ping", "status": "OK"}, {"name": "ping"}, {"name": "ping", "status": "ERROR"}),
    ],
)
def test_a_condition_holds_when_every_key_given_holds(
    condition: dict[str, Any], met: dict[str, Any], missed: dict[str, Any]
) -> None:
    """Each key is tested at its border; an unknown duration meets no condition on duration."""
    parsed = Condition.model_validate(condition)
    assert matches(parsed, facts(**met))
    assert not matches(parsed, facts(**missed))


@pytest.mark.parametrize("rate", [-0.1, 1.1, "sometimes", float("nan"), None])
def test_a_rate_outside_zero_to_one_is_refused(rate: object) -> None:
    """A probability that is none never reaches the hash."""
    with pytest.raises(ValidationError):
        SamplingSettings.model_validate({"rate": rate})


def test_unknown_keys_of_a_condition_are_refused() -> None:
    """A misspelt key would otherwise match every trace."""
    with pytest.raises(ValidationError, match="statuss"):
        Condition.model_validate({"statuss": "ERROR"})


def test_the_factor_fits_the_expected_calls_into_the_budget() -> None:
    """60 calls an hour are one a minute: 4 expected are scaled by a quarter, fewer than the budget by 1."""
    assert budget_factor(60, 4.0) == 0.25
    assert budget_factor(60, 0.5) == 1.0
    assert budget_factor(60, 0.0) == 1.0
    assert budget_factor(None, 1e9) == 1.0
    assert Condition.model_validate({"longer_than": "2s"}).longer_than == timedelta(seconds=2)
