"""Scorer versions: which definition of a scorer made a verdict."""

import hashlib
import inspect
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mlflow.genai.scorers import Scorer

from scorers.errors import ScorerSettingsError
from scorers.values import ValueRules

VERSION_DIGITS = 12
# What MLflow's serialised form holds beside the definition itself.
_NOT_DEFINITION = frozenset(
    {"mlflow_version", "serialization_version", "name", "timeout", "description", "aggregations"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """All that decides what verdict a scorer gives; its name, rate, target and severity do not.

    Attributes:
        kind: ``builtin:Safety``, ``heuristic:Latency``, ``make_judge``, ``function``, ``class`` or ``registered``.
        parameters: as configured, not with defaults added: a new default of MLflow shows in ``text`` or not at all.
        text: the instructions that the judge is given.
        model: the judging model's URI, None for code.
        source: the function's or class's source text, or the heuristic's revision.
        rules: how values become verdicts.
        feedback: the feedback chosen out of several.
        revision: as configured, for what changed without being seen in anything above.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None
    model: str | None = None
    source: str | None = None
    rules: ValueRules = field(default_factory=ValueRules)
    feedback: str | None = None
    revision: int | None = None

    def version(self) -> str:
        """12 hex digits of the SHA-256 of the definition as canonical JSON; what is unset does not count."""
        definition = {key: value for key, value in asdict(self).items() if value not in (None, {})}
        canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()[:VERSION_DIGITS]


def source_of(code: Callable[..., Any] | type, path: str) -> str:
    """The source text of a function or class, without indentation.

    Raises:
        ScorerSettingsError: where Python has no source for it, so that a change of it could not be noticed.
    """
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(code)))
    except (OSError, TypeError) as error:
        raise ScorerSettingsError("use", path, "a function or class whose source can be read") from error


def serialised_definition(scorer: Scorer) -> dict[str, Any]:
    """A registered scorer's own serialised form, reduced to what defines it."""
    reduced = _reduce(scorer.model_dump())
    return reduced if isinstance(reduced, dict) else {}


def _reduce(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _reduce(item) for key, item in value.items() if key not in _NOT_DEFINITION}
        return {key: item for key, item in kept.items() if item is not None}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, list):
        reduced = [_reduce(item) for item in value]
        # MLflow serialises sets of names as lists, in the order of the process's hash seed.
        return sorted(reduced) if all(isinstance(item, str) for item in reduced) else reduced
    return value
