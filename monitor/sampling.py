"""Which traces are judged and kept, with what probability, and why.

Nothing here does I/O: a decision is a value computed from the trace's id and facts, the settings and the budget's
factor. One uniform number a trace serves every scorer and the dataset, so that lower rates nest in higher ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.clock import Duration
from monitor.rate import Rate


class Condition(BaseModel):
    """What a trace must be for a rule to apply: every key that is given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Literal["OK", "ERROR"] | None = Field(None, description="The trace's status.")
    longer_than: Duration | None = Field(None, description="The trace took longer than this.")
    shorter_than: Duration | None = Field(None, description="The trace took less than this.")
    tags: dict[str, str] = Field(default_factory=dict, description="Tags that the trace has, with these values.")
    app_version: str | None = Field(None, description="The app version that answered.")
    name: str | None = Field(None, description="The trace's name.")


class Rule(BaseModel):
    """A rate for the traces that meet a condition; the first rule that matches decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: Condition = Field(description="What a trace must be; every key that is given must hold.")
    rate: Rate = Field(description="The share to keep, 0 to 1, or `always` or `never`.")


class SamplingSettings(BaseModel):
    """How much of the traffic is judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate: Rate = Field(0.1, description="The share of traces that a scorer or the dataset keeps unless told otherwise.")
    min_rate: Rate = Field(0.01, description="The budget never scales a rate below this.")
    rules: tuple[Rule, ...] = Field((), description="The first rule that matches a trace gives its rate.")
    judge_calls_per_hour: int | None = Field(
        None, ge=1, description="The most judge calls an hour of the whole group; what is over it waits, parked."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFacts:
    """What of a trace a rule may look at. `duration_ms` is None where the source does not tell."""

    trace_id: str
    name: str
    status: str
    duration_ms: float | None
    app_version: str | None
    tags: Mapping[str, str]
    evaluation: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingDecision:
    """Whether a subject (a scorer or the dataset) keeps a trace, its inclusion probability, and the reason."""

    kept: bool
    probability: float
    reason: str


def uniform(trace_id: str, *, person: bytes = b"tracewatch/1") -> float:
    """The trace's uniform number in (0, 1): the top 53 bits of a salted BLAKE2b hash of its MLflow id.

    The id's own bits are not used: an upstream head sampler may have conditioned on them. Another `person`, of at most
    16 bytes, gives a number that is independent of this one.
    """
    digest = blake2b(trace_id.encode(), digest_size=8, person=person).digest()
    return ((int.from_bytes(digest, "big") >> 11) + 0.5) / 2**53


def matches(condition: Condition, trace: TraceFacts) -> bool:
    """Whether the trace meets every key of the condition; a trace of unknown duration meets none on duration."""
    if condition.longer_than is not None and not _longer(trace.duration_ms, condition.longer_than):
        return False
    if condition.shorter_than is not None and not _shorter(trace.duration_ms, condition.shorter_than):
        return False
    return (
        condition.status in (None, trace.status)
        and condition.app_version in (None, trace.app_version)
        and condition.name in (None, trace.name)
        and all(trace.tags.get(key) == value for key, value in condition.tags.items())
    )


def _longer(duration_ms: float | None, bound: timedelta) -> bool:
    return duration_ms is not None and duration_ms > bound.total_seconds() * 1000


def _shorter(duration_ms: float | None, bound: timedelta) -> bool:
    return duration_ms is not None and duration_ms < bound.total_seconds() * 1000


def ruled_rate(trace: TraceFacts, settings: SamplingSettings) -> tuple[float, str] | None:
    """The rate that holds for every subject alike, and its reason: `evaluation` or `rule:N` (N counts from 1).

    None where nothing but each subject's own rate applies.
    """
    if trace.evaluation:
        return 0.0, "evaluation"
    for number, rule in enumerate(settings.rules, start=1):
        if matches(rule.when, trace):
            return rule.rate, f"rule:{number}"
    return None


def unruled_rate(settings: SamplingSettings, own_rate: float | None) -> tuple[float, str]:
    """The rate of a subject where no rule applies, and its reason."""
    return (settings.rate if own_rate is None else own_rate), "rate"


def rate_of(trace: TraceFacts, settings: SamplingSettings, own_rate: float | None) -> tuple[float, str]:
    """The rate of one subject before the budget, and its reason: `evaluation`, `rule:N` or `rate`."""
    return ruled_rate(trace, settings) or unruled_rate(settings, own_rate)


def smallest_probability(settings: SamplingSettings, own_rate: float | None, *, budgeted: bool) -> float:
    """The smallest inclusion probability above 0 that the settings can give a subject, 0 where they keep nothing.

    `budgeted` says whether the judge budget may scale its rates.
    """
    return smallest_rate(settings, own_rate, budgeted=budgeted)[0]


def smallest_rate(settings: SamplingSettings, own_rate: float | None, *, budgeted: bool) -> tuple[float, str]:
    """The same with the key that sets it: of `sampling`, or `rate` for the subject's own."""
    rates = [(rule.rate, f"sampling.rules[{number}].rate") for number, rule in enumerate(settings.rules)]
    rates.append((unruled_rate(settings, own_rate)[0], "sampling.rate" if own_rate is None else "rate"))
    if budgeted:
        # Of equal ones the rate itself is named: to raise the floor alone would change nothing.
        rates.append((min([settings.min_rate, *(rate for rate, _ in rates if rate > 0)]), "sampling.min_rate"))
    return min(((rate, key) for rate, key in rates if rate > 0), key=lambda each: each[0], default=(0.0, "rate"))


def decide(trace_id: str, rate: float, reason: str, *, min_rate: float, factor: float = 1.0) -> SamplingDecision:
    """Keep the trace if its uniform number is below pi = max(min(rate, min_rate), factor x rate).

    `factor` is the budget's (1 for what calls no judge). Where it changed the probability, the reason is `budget`.
    """
    probability = max(min(rate, min_rate), factor * rate) if factor < 1.0 else rate
    return SamplingDecision(
        kept=uniform(trace_id) < probability,
        probability=probability,
        reason=reason if probability == rate else "budget",
    )


def budget_factor(calls_per_hour: int | None, expected_calls_per_minute: float) -> float:
    """The factor by which rates are scaled so that the expected calls fit the budget, in (0, 1]."""
    if calls_per_hour is None or expected_calls_per_minute <= 0:
        return 1.0
    return min(1.0, calls_per_hour / 60 / expected_calls_per_minute)
