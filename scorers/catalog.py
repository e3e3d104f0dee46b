"""From a scorer's settings to a scorer: MLflow's own, heuristics, judges given as text, code, registered ones."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import mlflow.genai.scorers as builtin
from mlflow.exceptions import MlflowException
from mlflow.genai.judges import make_judge
from mlflow.genai.scorers import Scorer
from pydantic import ValidationError

from scorers import heuristics
from scorers.code_scorers import load_code, scorer_of_function
from scorers.definitions import Definition, serialised_definition, source_of
from scorers.errors import ScorerSettingsError, UnknownScorer, nearest_names
from scorers.registry import ScorerRegistry
from scorers.settings import JudgeSettings, MakeJudgeSettings, ScorerSettings
from scorers.values import ValueRules

Kind = Literal["judge", "code"]

# Fields of MLflow's scorers that are not the configuration's to set.
_NOT_PARAMETERS = frozenset({"name", "required_columns", "aggregations", "description"})
_VALUE_TYPES: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str}


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfiguredScorer:
    """A scorer ready for production traces and for ``mlflow.genai.evaluate`` alike.

    Attributes:
        name: under which its verdicts are known; also ``scorer.name``.
        scorer: the MLflow scorer itself; safe to call from many threads where its own code is.
        kind: ``judge`` asks the judge's endpoint and counts against the budget, ``code`` does not.
        version: 12 hex digits of its definition.
        settings: as configured.
    """

    name: str
    scorer: Scorer
    kind: Kind
    version: str
    settings: ScorerSettings

    @property
    def rules(self) -> ValueRules:
        """How its values become verdicts."""
        return self.settings.rules


def build_scorer(
    settings: ScorerSettings, judge: JudgeSettings, registry: ScorerRegistry | None = None
) -> ConfiguredScorer:
    """Build one configured scorer. Makes no call to the judge; imports the user's module where ``use`` names one.

    Raises:
        UnknownScorer: no scorer has that name; carries the nearest names.
        ScorerSettingsError: a parameter is unknown, missing or has a wrong value.
    """
    if settings.make_judge is not None:
        scorer, definition = _text_judge(settings, settings.make_judge, judge)
    elif settings.registered is not None:
        scorer, definition = _registered(settings, settings.registered, registry)
    elif ":" in (use := settings.use or ""):
        scorer, definition = _code(settings, use, judge)
    else:
        scorer, definition = _ready_made(settings, use, judge)
    if scorer.is_session_level_scorer:
        written = settings.use or settings.registered or "make_judge"
        raise ScorerSettingsError("use", written, "scorers of single traces; this one scores whole sessions")
    kind: Kind = "judge" if _asks_judge(scorer) else "code"
    return ConfiguredScorer(
        name=settings.name, scorer=scorer, kind=kind, version=definition.version(), settings=settings
    )


def known_scorers() -> tuple[str, ...]:
    """Every name that ``use`` takes without a path, sorted."""
    return tuple(sorted({*_builtin_classes(), *heuristics.__all__}))


def _ready_made(settings: ScorerSettings, use: str, judge: JudgeSettings) -> tuple[Scorer, Definition]:
    if use in heuristics.__all__:
        heuristic: type[heuristics.Heuristic] = getattr(heuristics, use)
        scorer = _construct(heuristic, settings.name, settings.parameters)
        return scorer, _definition(settings, f"heuristic:{use}", source=f"revision {heuristic.revision}")
    if (scorer_class := _builtin_classes().get(use)) is None:
        raise UnknownScorer("use", use, known_scorers())
    scorer = _construct(scorer_class, settings.name, _with_model(scorer_class, settings.parameters, judge))
    text = getattr(scorer, "instructions", None)
    return scorer, _definition(settings, f"builtin:{use}", text=text, model=getattr(scorer, "model", None))


def _text_judge(settings: ScorerSettings, text: MakeJudgeSettings, judge: JudgeSettings) -> tuple[Scorer, Definition]:
    if settings.parameters:
        key, value = next(iter(settings.parameters.items()))
        raise ScorerSettingsError(
            key, value, f"keys of make_judge, inside it: {', '.join(MakeJudgeSettings.model_fields)}"
        )
    model = _model_uri(text.model) or judge.model_uri
    try:
        scorer = make_judge(
            name=settings.name,
            instructions=text.instructions,
            model=model,
            feedback_value_type=_value_type(text, settings.rules),
            generate_rationale_first=text.generate_rationale_first,
            inference_params=text.inference_params,
        )
    except (MlflowException, ValidationError) as error:
        raise ScorerSettingsError("make_judge.instructions", text.instructions[:80], _first_line(error)) from error
    parameters = text.model_dump(exclude={"instructions", "model"}, exclude_defaults=True)
    return scorer, _definition(settings, "make_judge", parameters=parameters, text=text.instructions, model=model)


def _registered(settings: ScorerSettings, name: str, registry: ScorerRegistry | None) -> tuple[Scorer, Definition]:
    if settings.parameters:
        key, value = next(iter(settings.parameters.items()))
        raise ScorerSettingsError(key, value, "no parameters: a registered scorer brings its own")
    found = registry.find(name) if registry is not None else None
    if found is None:
        raise UnknownScorer("registered", name, registry.names() if registry is not None else ())
    scorer = found.model_copy(update={"name": settings.name})
    return scorer, _definition(settings, "registered", parameters=serialised_definition(found))


def _code(settings: ScorerSettings, path: str, judge: JudgeSettings) -> tuple[Scorer, Definition]:
    code = load_code(path)
    if isinstance(code, type) and issubclass(code, Scorer):
        scorer = _construct(code, settings.name, _with_model(code, settings.parameters, judge))
        model = getattr(scorer, "model", None)
        return scorer, _definition(settings, "class", source=source_of(code, path), model=model)
    function = getattr(code, "_original_func", None) if isinstance(code, Scorer) else code
    if isinstance(code, Scorer) and function is None:
        if settings.parameters:
            raise ScorerSettingsError("use", path, "a function or class, where it has parameters")
        scorer = code.model_copy(update={"name": settings.name})
        return scorer, _definition(settings, "class", source=source_of(type(code), path))
    if not callable(function):
        raise ScorerSettingsError("use", path, f"a function or MLflow scorer, not a {type(code).__name__}")
    scorer = scorer_of_function(function, settings.name, settings.parameters, path)
    if isinstance(code, Scorer):
        scorer.timeout = code.timeout
    return scorer, _definition(settings, "function", source=source_of(function, path))


def _construct(scorer_class: type[Scorer], name: str, parameters: Mapping[str, Any]) -> Scorer:
    """Build it, and refuse what the class does not know: MLflow's classes would ignore a misspelt parameter."""
    fields = sorted(scorer_class.model_fields.keys() - _NOT_PARAMETERS)
    for key, value in parameters.items():
        if key not in fields:
            nearest = nearest_names(key, fields)
            hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
            raise ScorerSettingsError(key, value, f"parameters of {scorer_class.__name__}: {', '.join(fields)}{hint}")
    try:
        return scorer_class(name=name, **parameters)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else scorer_class.__name__
        value = None if first["type"] == "missing" or not first["loc"] else first["input"]
        raise ScorerSettingsError(key, value, f"{scorer_class.__name__}: {first['msg']}") from error
    except (MlflowException, ValueError, TypeError) as error:
        raise ScorerSettingsError("use", scorer_class.__name__, _first_line(error)) from error


def _with_model(scorer_class: type[Scorer], parameters: Mapping[str, Any], judge: JudgeSettings) -> dict[str, Any]:
    if "model" not in scorer_class.model_fields:
        return dict(parameters)
    return {**parameters, "model": _model_uri(parameters.get("model")) or judge.model_uri}


def _model_uri(model: object) -> str | None:
    if not isinstance(model, str):
        return None
    return model if ":/" in model else f"openai:/{model}"


def _value_type(text: MakeJudgeSettings, rules: ValueRules) -> Any:
    wanted = text.feedback_value_type
    if isinstance(wanted, str):
        return _VALUE_TYPES[wanted]
    if wanted is not None:
        return Literal[wanted]  # the tuple becomes the literal's alternatives
    if rules.limits is not None:
        return float
    return str if rules.passing is not None else Literal["yes", "no"]


def _definition(
    settings: ScorerSettings,
    kind: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    text: str | None = None,
    model: str | None = None,
    source: str | None = None,
) -> Definition:
    own = settings.parameters if parameters is None else dict(parameters)
    # The model stands in a place of its own, whether it was configured for the scorer or for all judges.
    configured = {key: value for key, value in own.items() if key != "model" or model is None}
    return Definition(
        kind=kind,
        parameters=configured,
        text=text,
        model=model,
        source=source,
        rules=settings.rules,
        feedback=settings.feedback,
        revision=settings.revision,
    )


def _asks_judge(scorer: Scorer) -> bool:
    parts = getattr(scorer, "_scorers", None)
    if parts:
        return any(_asks_judge(part) for part in parts)
    return "model" in type(scorer).model_fields or getattr(scorer, "model", None) is not None


def _builtin_classes() -> dict[str, type[Scorer]]:
    found: dict[str, type[Scorer]] = {}
    for name in builtin.__all__:
        value: type[Scorer] | Callable[..., Any] = getattr(builtin, name)
        if inspect.isclass(value) and issubclass(value, Scorer) and value is not Scorer:
            found[name] = value
    return found


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
