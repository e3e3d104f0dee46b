"""YAML files into plain values that remember where they stand, with the environment's values and files put in."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from monitor.config.problems import ConfigError, Problem, nearest
from monitor.secret_files import FileSecret, SecretFile

Key = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$(?P<escaped>\$)?\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_FILE = re.compile(r"\$(?P<escaped>\$)?\{file:(?P<path>[^}]+)\}")
_DEEPEST = 64


@dataclass(slots=True)
class Document:
    """Merged values; `places` maps each key to `FILE:LINE`, `written` a key to its text before substitution.

    A text with `${file:PATH}` in it is a `FileSecret`.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Key, str] = field(default_factory=dict)
    written: dict[Key, str] = field(default_factory=dict)
    substituted: set[str] = field(default_factory=set)

    def place(self, key: Key) -> str:
        """Where the key stands, or the nearest key around it."""
        for end in range(len(key), -1, -1):
            if key[:end] in self.places:
                return self.places[key[:end]]
        return ""

    def at(self, key: Key) -> Any:
        """The value of a key; None where there is none."""
        value: Any = self.values
        for part in key:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def read_document(path: Path, environ: Mapping[str, str]) -> Document:
    """Read one file.

    Raises:
        ConfigError: it cannot be read, is no YAML mapping, repeats a key, or names an environment variable that is not
            set or a file that cannot be read.
    """
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([Problem(where=str(path), key="", wrong=f"cannot be read: {_words(error)}")]) from error
    reader = _Reader(path, loader, environ)
    try:
        node = loader.get_single_node()
        if node is not None:
            reader.document.values = reader.root(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        wrong = f"is not YAML: {error.problem or error.context}"
        raise ConfigError([Problem(where=where, key="", wrong=wrong)]) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError([Problem(where=str(path), key="", wrong=f"is not YAML: {_words(error)}")]) from error
    finally:
        loader.dispose()
    if reader.problems:
        raise ConfigError(reader.problems)
    return reader.document


def merged(below: Document, above: Document) -> Document:
    """`above` laid over `below`: mappings are merged key by key, all else (lists too) is replaced."""
    document = Document(
        values=dict(below.values),
        places=dict(below.places),
        written=dict(below.written),
        substituted=below.substituted | above.substituted,
    )
    _lay(document, document.values, above, above.values, ())
    document.places |= above.places
    document.written |= above.written
    return document


def _lay(document: Document, target: dict[str, Any], above: Document, values: Mapping[str, Any], key: Key) -> None:
    for name, value in values.items():
        here = (*key, name)
        old = target.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            target[name] = dict(old)
            _lay(document, target[name], above, value, here)
            continue
        target[name] = value
        for table in (document.places, document.written):
            for gone in [each for each in table if each[: len(here)] == here]:
                del table[gone]


def dotted(key: Key) -> str:
    """`scorers[0].name` for a key."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class _Reader:
    def __init__(self, path: Path, loader: yaml.SafeLoader, environ: Mapping[str, str]) -> None:
        self._path = path
        self._loader = loader
        self._environ = environ
        self.document = Document()
        self.problems: list[Problem] = []

    def root(self, node: yaml.Node) -> dict[str, Any]:
        value = self._value(node, ())
        if isinstance(value, dict):
            return value
        if value is not None:
            self._problem(node, (), "a configuration is a mapping of keys, such as `app: shop`")
        return {}

    def _value(self, node: yaml.Node, key: Key) -> Any:
        self.document.places.setdefault(key, self._place(node))
        if len(key) > _DEEPEST:
            self._problem(node, key[:3], f"is nested deeper than {_DEEPEST} levels")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*key, index)) for index, child in enumerate(node.value)]
        value = self._loader.construct_object(node)
        return self._substituted(node, key, value) if isinstance(value, str) else value

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        seen: dict[str, yaml.Node] = {}
        for name_node, _ in node.value:
            name = str(name_node.value)
            if name in seen and name != "<<":
                first = seen[name].start_mark.line + 1
                self._problem(name_node, (*key, name), f"is given twice; the first is in line {first}")
            seen[name] = name_node
        self._loader.flatten_mapping(node)
        values: dict[str, Any] = {}
        for name_node, value_node in node.value:
            # A version may be called 2, a segment true: as keys they are texts, as they stand in the file.
            name = str(name_node.value)
            self.document.places[(*key, name)] = self._place(name_node)
            values[name] = self._value(value_node, (*key, name))
        return values

    def _substituted(self, node: yaml.Node, key: Key, text: str) -> str | FileSecret:
        parts: list[str | SecretFile] = []
        end = 0
        for match in _FILE.finditer(text):
            parts.append(self._with_variables(node, key, text[end : match.start()]))
            parts.append(match[0][1:] if match["escaped"] else self._file(node, key, Path(match["path"])))
            end = match.end()
        parts.append(self._with_variables(node, key, text[end:]))
        texts = [part for part in parts if isinstance(part, str)]
        result = "".join(texts) if len(texts) == len(parts) else FileSecret(parts)
        if result != text:
            self.document.written[key] = text
        return result

    def _file(self, node: yaml.Node, key: Key, path: Path) -> str | SecretFile:
        try:
            file = SecretFile(path)
        except (OSError, ValueError) as error:
            self._problem(node, key, f"the file {path} cannot be read: {_words(error)}")
            return ""
        self.document.substituted.add(file.read())
        return file

    def _with_variables(self, node: yaml.Node, key: Key, text: str) -> str:
        def value_of(match: re.Match[str]) -> str:
            if match["escaped"]:
                return match[0][1:]
            value = self._environ.get(match["name"])
            if not value and match["default"] is not None:
                return match["default"]
            if value is None:
                hint = nearest(match["name"], self._environ)
                allowed = f"set it, or write ${{{match['name']}:-default}}"
                wrong = f"the environment variable {match['name']} is not set"
                self._problem(node, key, wrong, f"{hint} {allowed}".strip())
                return ""
            self.document.substituted.add(value)
            return value

        return _VARIABLE.sub(value_of, text)

    def _place(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"

    def _problem(self, node: yaml.Node, key: Key, wrong: str, allowed: str = "") -> None:
        self.problems.append(Problem(where=self._place(node), key=dotted(key), wrong=wrong, allowed=allowed))


def _words(error: Exception) -> str:
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(words.split())
