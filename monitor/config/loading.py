"""From files to a configuration, or to the list of what is wrong with them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.document import Document, Key, dotted, merged, read_document
from monitor.config.model import Config
from monitor.config.problems import ConfigError, Problem, nearest, shown
from monitor.secret_files import FileSecret

_QUOTED = re.compile(r"'([^']*)'")
_SHORTEST_HIDDEN = 4


def load_config(paths: Sequence[Path], environ: Mapping[str, str]) -> Config:
    """Read the files, later ones over earlier ones, put the environment's values in, and validate.

    `${NAME}` in a text is the variable's value and `${NAME:-default}` has a default for one that is unset or empty;
    `$${NAME}` stands for itself. `${file:PATH}` is the file's text, read again when it changes where the key is a
    secret, and read once where it is none.

    Raises:
        ConfigError: with everything that is wrong; its text is for the person who wrote the file and holds no secret.
    """
    document = Document()
    problems: list[Problem] = []
    for path in paths:
        try:
            document = merged(document, read_document(path, environ))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    try:
        return Config.model_validate(_files_read(document.values, ()))
    except ValidationError as error:
        found = [_problem(document, detail) for detail in error.errors(include_url=False)]
    # Outside of the handler: pydantic's own error, which holds the values, must not hang on to this one.
    raise ConfigError(dict.fromkeys(_in_file_order(found)))


def _files_read(value: Any, key: Key) -> Any:
    """The values with the texts of files in them; those of secrets stay files."""
    if isinstance(value, dict):
        return {name: _files_read(each, (*key, name)) for name, each in value.items()}
    if isinstance(value, list):
        return [_files_read(each, (*key, number)) for number, each in enumerate(value)]
    return value.get_secret_value() if isinstance(value, FileSecret) and not _is_secret(key) else value


def _in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    def line(problem: Problem) -> tuple[str, int]:
        path, _, number = problem.where.rpartition(":")
        return path, int(number) if number.isdigit() else 0

    return sorted(problems, key=line)


def _problem(document: Document, detail: ErrorDetails) -> Problem:
    kind = detail["type"]
    key = _key(document, detail["loc"], missing=kind == "missing")
    name = dotted(key)
    where = document.place(key)
    if kind == "extra_forbidden":
        known = _keys_at(key[:-1])
        allowed = f"allowed here: {', '.join(known)}"
        return Problem(
            where=where, key=name, wrong="unknown key", allowed=_joined(nearest(str(key[-1]), known), allowed)
        )
    field = _description(key)
    if kind == "missing":
        return Problem(where=where, key=name, wrong="is missing", allowed=field)
    expected = _without_secrets(document, _allowed(detail))
    written = document.written.get(key, document.at(key))
    value = shown(written, "secret" if _is_secret(key) else name.rpartition(".")[2])
    if isinstance(written, dict | list):
        return Problem(where=where, key=name, wrong=expected, allowed=field)
    hint = nearest(str(written), _QUOTED.findall(expected)) if kind == "literal_error" else ""
    return Problem(
        where=where, key=name, wrong=f"{value} is not allowed", allowed=_joined(hint, f"allowed: {expected}", field)
    )


def _allowed(detail: ErrorDetails) -> str:
    message = detail["msg"]
    for prefix in ("Value error, ", "Input should be "):
        message = message.removeprefix(prefix)
    return message


def _joined(*parts: str) -> str:
    return "\n    ".join(part for part in parts if part)


def _without_secrets(document: Document, text: str) -> str:
    for value in document.substituted:
        if len(value) >= _SHORTEST_HIDDEN:
            text = text.replace(value, "***")
    return text


def _key(document: Document, location: Sequence[str | int], *, missing: bool) -> Key:
    """Pydantic's location without the names of union members, which stand in no file."""
    key: list[str | int] = []
    value: Any = document.values
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(value, dict) and part in value:
            key.append(part)
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            key.append(part)
            value = value[part]
        elif last and missing:
            key.append(part)
    return tuple(key)


def _keys_at(key: Key) -> list[str]:
    models = _models(_annotation(key))
    return sorted({name for model in models for name in model.model_fields})


def _description(key: Key) -> str:
    if not key or not isinstance(key[-1], str):
        return ""
    for model in _models(_annotation(key[:-1])):
        if key[-1] in model.model_fields:
            return model.model_fields[key[-1]].description or ""
    return ""


def _is_secret(key: Key) -> bool:
    return any(SecretStr in _flat(_annotation(key[:end])) for end in range(1, len(key) + 1))


def _annotation(key: Key) -> Any:
    annotation: Any = Config
    for part in key:
        annotation = _child(annotation, part)
    return annotation


def _child(annotation: Any, part: str | int) -> Any:
    for each in _flat(annotation):
        origin, arguments = get_origin(each), get_args(each)
        if isinstance(each, type) and issubclass(each, BaseModel) and part in each.model_fields:
            return each.model_fields[str(part)].annotation
        if origin is dict and isinstance(part, str):
            return arguments[1]
        if origin in (tuple, list) and isinstance(part, int):
            return arguments[part if Ellipsis not in arguments and part < len(arguments) else 0]
    return None


def _flat(annotation: Any) -> list[Any]:
    """The members of a union, without their `Annotated`."""
    if get_origin(annotation) is Annotated:
        return _flat(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [each for member in get_args(annotation) for each in _flat(member)]
    return [annotation]


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [each for each in _flat(annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
