"""Settings of the judge's endpoint and of one scorer, as they stand in the configuration file."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr, model_validator

from scorers.values import ValueRules

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _parse_duration(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value.strip())):
        return timedelta(**{_UNITS[match[2]]: float(match[1])})
    return value


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


Duration = Annotated[timedelta, BeforeValidator(_parse_duration)]
Rate = Annotated[
    float,
    BeforeValidator(lambda value: {"always": 1.0, "never": 0.0}.get(value, value) if isinstance(value, str) else value),
    Field(ge=0, le=1),
]


class CircuitSettings(BaseModel):
    """When an endpoint that fails for all is left alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failures: int = Field(default=5, ge=1, description="Outages in a row after which no call is made for a while.")
    first_pause: Duration = Field(
        default=timedelta(seconds=1), ge=timedelta(milliseconds=1), description="The pause before the first probe."
    )
    longest_pause: Duration = Field(
        default=timedelta(seconds=30), description="The longest pause; each probe that fails doubles it up to here."
    )


class JudgeSettings(BaseModel):
    """The one OpenAI-compatible endpoint that every judge asks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: Annotated[str | None, BeforeValidator(_empty_is_none)] = Field(
        default=None,
        pattern=r"^https?://",
        description="Address of the OpenAI-compatible API, with its version path: http://127.0.0.1:8000/v1. "
        "Without it the address of OPENAI_BASE_URL, else OpenAI's own.",
    )
    model: str = Field(
        default="gpt-5-mini", min_length=1, pattern=r"^(openai:/)?[^:\s]\S*$", description="Model that judges."
    )
    api_key: Annotated[SecretStr | None, BeforeValidator(_empty_is_none)] = Field(
        default=None, description="Key of the endpoint; never logged. Without it the one of OPENAI_API_KEY."
    )
    timeout: Duration = Field(
        default=timedelta(seconds=60), ge=timedelta(seconds=1), description="Longest wait for one answer."
    )
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Further headers of each request.")
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust for https; the system's if left out."
    )
    proxy: str | None = Field(default=None, pattern=r"^https?://", description="HTTP proxy for this endpoint alone.")
    answer_bytes: ByteSize = Field(
        default=ByteSize(10 * 1024 * 1024), gt=0, description="Longest answer that is read; a longer one is none."
    )
    concurrency: int = Field(
        default=8,
        ge=1,
        le=512,
        description="Most calls to the endpoint at once, a process; fewer while it says that it is overloaded.",
    )
    retries: int = Field(
        default=3,
        ge=0,
        le=10,
        description="Further attempts after a 429, 5xx, timeout, failed connection; exponential backoff, full jitter.",
    )
    longest_retry_after: Duration = Field(
        default=timedelta(seconds=60),
        description="The longest Retry-After that one call waits for; with a longer one the event waits instead.",
    )
    circuit: CircuitSettings = Field(
        default_factory=CircuitSettings, description="When an endpoint that fails for all is left alone."
    )

    def revealed(self) -> dict[str, Any]:
        """These settings as JSON with their secrets in clear text, for the pipe to a process of our own."""
        secrets = {"headers": {name: value.get_secret_value() for name, value in self.headers.items()}}
        if self.api_key is not None:
            secrets["api_key"] = self.api_key.get_secret_value()  # type: ignore[assignment]
        return {**self.model_dump(mode="json"), **secrets}

    @property
    def model_uri(self) -> str:
        """The model as MLflow writes it, ``openai:/NAME``."""
        return f"openai:/{self.model.removeprefix('openai:/')}"


class MakeJudgeSettings(BaseModel):
    """A judge given as text, built with ``mlflow.genai.judges.make_judge``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    instructions: str = Field(
        min_length=1,
        description="What to judge, with {{ inputs }}, {{ outputs }}, {{ expectations }} or {{ trace }} in it.",
    )
    feedback_value_type: Literal["bool", "int", "float", "str"] | tuple[str, ...] | None = Field(
        default=None,
        description="Type of the answer, or the list of allowed categories. Without it: a number where limits are "
        "given, the passing categories' text where passing is given, else yes or no.",
    )
    model: str | None = Field(default=None, description="A model of its own instead of judge.model.")
    generate_rationale_first: bool = Field(default=False, description="Ask for the rationale before the value.")
    inference_params: dict[str, Any] | None = Field(default=None, description="Temperature and the like.")


class ScorerSettings(BaseModel):
    """One scorer: exactly one of ``use``, ``make_judge`` and ``registered``; other keys are the scorer's parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$", description="Name of the scorer in verdicts, metrics and alerts."
    )
    use: str | None = Field(
        default=None,
        description="A class of mlflow.genai.scorers or of scorers.heuristics, or package.module:function.",
    )
    make_judge: MakeJudgeSettings | None = Field(default=None, description="A judge given as text.")
    registered: str | None = Field(default=None, description="Name of a scorer registered in the MLflow experiment.")
    feedback: str | None = Field(
        default=None,
        description="Which feedback is the verdict where the scorer returns several with names of their own.",
    )
    rate: Rate | None = Field(default=None, description="Share of the traces scored where no sampling rule matches.")
    target: float | None = Field(
        default=None, ge=0, le=1, description="Pass rate below which production has regressed."
    )
    reference: Literal["target", "baseline", "learned"] | None = Field(
        default=None,
        description="What its verdicts are held against: the target, the verdicts of the evaluation's baseline, or "
        "what was learnt from the first ones. The target if there is one, else learned.",
    )
    unit: Literal["verdict", "session", "block"] = Field(
        default="verdict",
        description="What is one look at it: verdicts that depend on each other, of a session or of a stretch of time, "
        "are one.",
    )
    severity: Literal["page", "ticket", "none"] = Field(default="page", description="What its alerts are worth.")
    shadow: bool = Field(default=False, description="Score without alerting.")
    shadow_of: str | None = Field(
        default=None, description="The scorer that a shadow stands beside: `status` shows how far the two agree."
    )
    revision: int | None = Field(
        default=None,
        ge=1,
        description="Raise it to begin the scorer's series and frozen set anew where nothing else of it changes: its "
        "judge has become another one behind the same name, and stays so.",
    )
    limits: tuple[float, float] | None = Field(
        default=None, description="Lowest and highest number that the scorer gives."
    )
    pass_at: float | None = Field(default=None, description="The number at which a verdict passes.")
    better: Literal["higher", "lower"] = Field(default="higher", description="Which end of the limits is good.")
    passing: tuple[str | bool, ...] | None = Field(default=None, description="Categories that pass; all others fail.")

    @model_validator(mode="after")
    def _is_one_scorer(self) -> Self:
        given = [key for key in ("use", "make_judge", "registered") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"scorer {self.name!r} needs exactly one of use, make_judge, registered; got {given or 'none'}"
            )
        self.rules  # noqa: B018 -- builds the rules once so that wrong ones are found in the configuration
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """The keys that belong to the scorer itself, as written."""
        return dict(self.model_extra or {})

    @property
    def model(self) -> str | None:
        """The model of its own that it names, if it does."""
        named = self.make_judge.model if self.make_judge else self.parameters.get("model")
        return named if isinstance(named, str) else None

    @property
    def rules(self) -> ValueRules:
        """How the scorer's values become verdicts; raises ValueError where they contradict each other."""
        return ValueRules(limits=self.limits, pass_at=self.pass_at, better=self.better, passing=self.passing)
