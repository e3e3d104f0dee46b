"""The documentation of every configuration key, made from the models: the source of `docs/configuration.md`.

`python -m monitor.config.reference [FILE]` prints it, or writes it to the file given.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ByteSize, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from monitor.config.model import Config

_HEAD = """# Configuration

<!-- Generated from the settings classes by `python -m monitor.config.reference docs/configuration.md`. -->

One YAML file, given with `-c`. The option may repeat: later files are laid over earlier ones, key by key; a list
replaces a list. `tracewatch init` writes a commented start, `tracewatch check` validates, and `tracewatch
config-schema` prints the JSON Schema for editors.

- An unknown key is an error, and so is a wrong value. The message names file, line, key, value and what is allowed.
- `${NAME}` in a text is the environment variable's value. `${NAME:-default}` has a default for a variable that is unset
  or empty. `$${NAME}` stands for itself.
- A duration is a number with a unit: `500ms`, `30s`, `15m`, `24h`, `30d`.
- A size is a number of bytes, or one with a unit: `512KiB`, `1MiB`, `2GiB`.
- `${file:PATH}` in a text is the file's text without the line break at its end; a relative path begins where the
  command was started. In a secret's key the file is read again when it changes, so that a rotated secret needs no
  restart; in any other key it is read once.
- A secret is never logged. Take it from the environment, `api_key: "${OPENAI_API_KEY}"`, or from a file,
  `api_key: "${file:/run/secrets/judge-key}"`. [Security](security.md) has the whole picture.

The smallest file that runs names the application and one scorer. All else has a default:

```yaml
app: shop
scorers:
  - {name: short, use: AnswerLength, max_length: 200, unit: words}
```
"""
_UNITS = (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path", Any: "any value"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """A model under the key where it stands: `sampling.rules[].when`."""

    key: str
    model: type[BaseModel]


def reference() -> str:
    """The page, in Markdown."""
    return _HEAD + "".join(_described(section) for section in _sections("", Config))


def keys() -> frozenset[str]:
    """Every key as operators write it: `sampling.rate`, `scorers[].target`, `evaluation.versions.NAME.timeout`."""
    return frozenset(
        f"{section.key}.{name}" if section.key else name
        for section in _sections("", Config)
        for name in section.model.model_fields
    )


def _sections(key: str, model: type[BaseModel]) -> Iterator[_Section]:
    yield _Section(key=key, model=model)
    for name, field in model.model_fields.items():
        here = f"{key}.{name}" if key else name
        for suffix, inner in _models(field.annotation):
            yield from _sections(here + suffix, inner)


def _described(section: _Section) -> str:
    title = f"`{section.key}`" if section.key else "The file"
    about = " ".join((section.model.__doc__ or "").split("\n\n")[0].split())
    lines = [f"\n## {title}\n", f"{_code(about)}\n", "| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in section.model.model_fields.items():
        cells = (f"`{name}`", _value(field), _default(field), _code(field.description or ""))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return text.replace("``", "`")


def _value(field: FieldInfo) -> str:
    words = _words(field.annotation, field.metadata)
    return f"{words}, secret" if _has_secret(field.annotation) else words


def _words(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], _flat([*arguments[1:], *metadata]))
    if origin in (Union, UnionType):
        members = (_words(each, metadata) for each in arguments if each is not type(None))
        return " or ".join(dict.fromkeys(members))
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin is dict:
        return f"mapping of names to {_plural(arguments[1])}"
    if origin in (tuple, list):
        number = "" if Ellipsis in arguments or origin is list else f"{len(arguments)} "
        return f"list of {number}{_plural(arguments[0])}"
    return _plain(annotation, metadata)


def _plain(annotation: Any, metadata: list[Any]) -> str:
    if annotation is timedelta:
        return "duration" + _bounds(metadata)
    if annotation is ByteSize:
        return "size"
    if annotation is SecretStr:
        return "text"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping, see below"
    if annotation is float and any(isinstance(each, BeforeValidator) for each in metadata):
        return "0 to 1, `always` or `never`"
    return _WORDS[annotation] + _bounds(metadata)


def _plural(annotation: Any) -> str:
    words = _words(annotation, [])
    first, comma, rest = words.partition(",")
    return f"{first}s{comma}{rest}" if first in ("text", "integer", "number", "mapping") else words


def _bounds(metadata: list[Any]) -> str:
    found: dict[str, str] = {}
    for each in _flat(metadata):
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(each, name):
                found[name] = _shown(getattr(each, name))
    if {"ge", "le"} <= set(found):
        return f", {found['ge']} to {found['le']}"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return "".join(f", {words[name]} {bound}" for name, bound in found.items())


def _flat(metadata: list[Any]) -> list[Any]:
    return [each for item in metadata for each in (_flat(item.metadata) if isinstance(item, FieldInfo) else [item])]


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return "**required**"
    if isinstance(default, BaseModel):
        return "as below"
    return "none" if default in (None, (), {}) else f"`{_shown(default)}`"


def _shown(value: Any) -> str:
    if isinstance(value, timedelta):
        return _duration(value // timedelta(milliseconds=1))
    if isinstance(value, ByteSize):
        return value.human_readable(separator="").replace(".0", "")
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _duration(milliseconds: int) -> str:
    if milliseconds == 0:
        return "0s"
    unit, size = next(each for each in _UNITS if milliseconds % each[1] == 0 and milliseconds >= each[1])
    return f"{milliseconds // size}{unit}"


def _models(annotation: Any) -> list[tuple[str, type[BaseModel]]]:
    """The models inside of an annotation, each with what stands between the key and its own keys."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [("", annotation)]
    if origin is Annotated:
        return _models(arguments[0])
    if origin in (Union, UnionType):
        return [found for each in arguments for found in _models(each)]
    if origin is dict:
        return [(f".NAME{suffix}", model) for suffix, model in _models(arguments[1])]
    if origin in (tuple, list):
        return [(f"[]{suffix}", model) for suffix, model in _models(arguments[0])]
    return []


def _has_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_has_secret(each) for each in get_args(annotation))


def _main(arguments: list[str]) -> None:
    if arguments:
        Path(arguments[0]).write_text(reference(), encoding="utf-8")
    else:
        sys.stdout.write(reference())


if __name__ == "__main__":
    _main(sys.argv[1:])
