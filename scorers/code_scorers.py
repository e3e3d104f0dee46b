"""Scorers out of the user's own code: ``package.module:function`` becomes an MLflow scorer."""

import copy
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mlflow.entities import Feedback
from mlflow.genai.scorers import Scorer
from mlflow.genai.scorers import scorer as mlflow_scorer

from scorers.errors import ScorerSettingsError, UnknownScorer

_GIVEN = frozenset({"inputs", "outputs", "expectations", "trace"})


def load_code(path: str) -> object:
    """What ``package.module:attribute`` names, imported from the environment or the working directory.

    Raises:
        ScorerSettingsError: the path has another form, or the module cannot be imported (says why).
        UnknownScorer: the module has no such attribute (names the nearest).
    """
    module_name, _, attribute = path.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise ScorerSettingsError("use", path, "package.module:function")
    value: object = _import(module_name, path)
    for part in attribute.split("."):
        if not hasattr(value, part):
            known = [f"{module_name}:{name}" for name in vars(value) if not name.startswith("_")]
            raise UnknownScorer("use", path, known)
        value = getattr(value, part)
    return value


def scorer_of_function(function: Callable[..., Any], name: str, parameters: Mapping[str, Any], path: str) -> Scorer:
    """An MLflow scorer of this name that calls the function with what it asks for and the configured parameters.

    A Feedback that the function returns takes the scorer's name, so that its verdicts are found under it everywhere.

    Raises:
        ScorerSettingsError: the function asks for something nobody gives, or a parameter is none of its arguments.
    """
    signature = inspect.signature(function)
    _check_arguments(signature, parameters, path)
    if inspect.iscoroutinefunction(function):
        raise ScorerSettingsError("use", path, "a plain function, not an async one")

    @functools.wraps(function)
    def call(**given: Any) -> Any:
        result = function(**given, **parameters)
        if isinstance(result, Feedback):
            result = copy.copy(result)
            result.name = name
        return result

    visible = [p for p in signature.parameters.values() if p.name not in parameters]
    call.__signature__ = signature.replace(parameters=visible)  # type: ignore[attr-defined]
    return mlflow_scorer(call, name=name)


def _import(module_name: str, path: str) -> ModuleType:
    directory = str(Path.cwd())
    # The installed command's first entry is its own folder. Appended, so that nothing installed is shadowed.
    if directory not in sys.path and "" not in sys.path:
        sys.path.append(directory)
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # the user's module may raise anything
        cause = f"{type(error).__name__}: {error}"
        raise ScorerSettingsError("use", path, f"a module that can be imported ({cause})") from error


def _check_arguments(signature: inspect.Signature, parameters: Mapping[str, Any], path: str) -> None:
    arguments = {name: p for name, p in signature.parameters.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    if "session" in arguments:
        raise ScorerSettingsError("use", path, "a function of one trace; this one scores whole sessions")
    own = sorted(arguments.keys() - _GIVEN)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for key, value in parameters.items():
        if key in _GIVEN or (key not in arguments and not takes_any):
            raise ScorerSettingsError(
                key, value, f"the arguments of {path}: {', '.join(own) or 'it has none of its own'}"
            )
    missing = [n for n in own if arguments[n].default is inspect.Parameter.empty and n not in parameters]
    if missing:
        raise ScorerSettingsError(
            "use", path, f"needs a value for {', '.join(missing)} (inputs, outputs, expectations and trace are given)"
        )
