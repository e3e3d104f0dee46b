"""Blacking out e-mail addresses, phone numbers, keys and own patterns, before anything is stored or judged."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from mlflow.entities import Span, Trace, TraceData, TraceInfo
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

BuiltinPattern: TypeAlias = Literal["email", "phone", "key"]

# Possessive quantifiers and look-behinds keep the search linear in the length of hostile texts.
_PHONES = (
    # +49 30 1234567, 0049-30-1234567
    r"(?<![\w.])(?:\+|(?<![\d\-])00)[1-9](?:[ ().\-/]{0,2}\d){6,14}(?!\w)",
    # 030/1234567, (0151) 234 567 89: an area code of three digits or more, so that 01-02-2026 is none
    r"(?<![\w.\-])\(?0\d{2,5}\)?[ \-/]{1,2}\d(?:[ \-/]?\d){4,10}(?![\w\-])",
    # 01512345678
    r"(?<![\w.\-])0[1-9]\d{8,10}(?![\w.\-])",
    # (212) 555-0123, 212-555-0123, 1 212 555 0123
    r"(?<![\w.\-])(?:1[ .\-])?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .\-])\d{3}[ .\-]\d{4}(?![\w\-])",
)
_KEYS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
    r"(?<![A-Za-z0-9])(?:sk|pk|rk)[-_][A-Za-z0-9_\-]{16,}",
    r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    r"(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_|glpat-)[A-Za-z0-9_\-]{20,}",
    r"(?<![A-Za-z0-9])xox[abeprs]-[A-Za-z0-9\-]{10,}",
    r"(?<![A-Za-z0-9])AIza[A-Za-z0-9_\-]{30,}",
    r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*)?",
    r"(?<![A-Za-z0-9])[Bb]earer +[A-Za-z0-9._~+/=\-]{16,}",
)
_BUILTIN: Mapping[str, str] = {
    "email": r"(?<![\w.%+\-])[\w.%+\-]++@[\w\-]++(?:\.[\w\-]++)+",
    "phone": "|".join(_PHONES),
    "key": "|".join(_KEYS),
}

_ESCAPE = re.compile(r"\\(?:u(?P<digits>[0-9a-fA-F]{4})|(?P<letter>.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}

# Ids by which a trace is found again, and what MLflow writes for itself.
_IDS = frozenset(
    {
        "tracewatch.source_id",
        "mlflow.trace.session",
        "mlflow.traceRequestId",
        "mlflow.artifactLocation",
        "mlflow.trace.spansLocation",
        "mlflow.trace.tokenUsage",
        "mlflow.trace.sizeStats",
        "mlflow.trace.sizeBytes",
        "mlflow.spanType",
    }
)


# Ids that may name a person: an application may take an e-mail address as its session's name.
_PERSONAL = frozenset(
    {
        "tracewatch.source_id",
        "mlflow.trace.session",
        "mlflow.trace.user",
        "session.id",
        "user.id",
    }
)


class OwnPattern(BaseModel):
    """A regular expression of the operator's; what it matches becomes `[name]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="The word that stands in place of the text.")
    regex: str = Field(description="A regular expression in Python's syntax.")

    @field_validator("regex")
    @classmethod
    def _compiles(cls, regex: str) -> str:
        try:
            compiled = re.compile(regex)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        if compiled.search("") is not None:
            raise ValueError("matches the empty text, and so everything")
        return regex


class RedactionSettings(BaseModel):
    """What is blacked out of traces before they are stored or judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patterns: tuple[BuiltinPattern | OwnPattern, ...] = Field(
        default=(), description="Built-in patterns (email, phone, key) or own ones ({name, regex}), applied in order."
    )
    ids: Literal["keep", "hash"] = Field(
        default="keep",
        description="What becomes of the ids that the application gives to traces, sessions and users: equal ids have "
        "equal hashes, so that sessions still group.",
    )
    ids_key: SecretStr | None = Field(
        default=None, description="Key of the hashes; without one, whoever knows an id knows its hash."
    )


class Redaction:
    """The configured patterns, compiled; what one matches becomes its name in brackets, such as `[email]`."""

    def __init__(self, settings: RedactionSettings) -> None:
        self._patterns = tuple(_compiled(pattern) for pattern in settings.patterns)
        self._hashes_ids = settings.ids == "hash"
        self._key = b"" if settings.ids_key is None else settings.ids_key.get_secret_value().encode()

    def __bool__(self) -> bool:
        """Whether there is anything to black out."""
        return bool(self._patterns) or self._hashes_ids

    def identifier(self, name: str) -> str:
        """An id of the application's, for a trace, a session or a user, as it may be kept."""
        if not self._hashes_ids:
            return name
        return f"id-{hmac.new(self._key, name.encode(errors='surrogatepass'), 'sha256').hexdigest()[:32]}"

    def text(self, text: str) -> str:
        """The text without what the patterns match."""
        for name, pattern in self._patterns:
            text = pattern.sub(name, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value of the same shape with every text in it redacted, keys of objects too."""
        if not self._patterns:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self._object(value)
        if isinstance(value, Sequence):
            return [self.value(item) for item in value]
        return value

    def document(self, value: bytes) -> bytes:
        """The same for UTF-8 that may be JSON, or may have been meant to be: an escape hides nothing in it."""
        text = value.decode("utf-8")
        try:
            redacted = json.dumps(self.value(json.loads(text)), ensure_ascii=False)
        except (ValueError, RecursionError):
            # What was meant as JSON and is none keeps its escapes where there is nothing behind them.
            plain = _ESCAPE.sub(_unescaped, text)
            redacted = self.text(plain)
            if redacted == plain:
                redacted = self.text(text)
        return redacted.encode("utf-8", "replace")

    def trace(self, trace: Trace) -> Trace:
        """The trace with inputs, outputs, attributes, events, previews, tags and assessments redacted.

        Ids stay, as nothing could be found or grouped without them; those of source, session and user are hashed where
        that is configured.
        """
        if not self:
            return trace
        return Trace(
            info=TraceInfo.from_dict(self._info(trace.info.to_dict())),
            data=TraceData(spans=[Span.from_dict(self._span(span.to_dict())) for span in trace.data.spans]),
        )

    def _object(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        redacted: dict[Any, Any] = {}
        for key, item in value.items():
            name = unique = self.text(key) if isinstance(key, str) else key
            count = 1
            # Two addresses as keys of one object must not become one entry.
            while unique in redacted:
                count += 1
                unique = f"{name} {count}"
            redacted[unique] = self.value(item)
        return redacted

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        for key in ("request_preview", "response_preview"):
            if key in info:
                info[key] = self._json_or_text(info[key])
        if self._hashes_ids and (asked := info.get("client_request_id")):
            # It holds the first characters of the source's id, whose hash it shares.
            source = info.get("tags", {}).get("tracewatch.source_id", "")
            info["client_request_id"] = self.identifier(source if source.startswith(asked) else asked)
        for key in ("tags", "trace_metadata"):
            if key in info:
                info[key] = {name: self._named(name, value) for name, value in info[key].items()}
        for assessment in info.get("assessments", ()):
            for key in ("feedback", "expectation", "rationale", "metadata"):
                if key in assessment:
                    assessment[key] = self._assessed(assessment[key])
        return info

    def _assessed(self, part: Any) -> Any:
        serialized = part.get("serialized_value") if isinstance(part, dict) else None
        if serialized is None:
            return self._values(part)
        return part | {"serialized_value": serialized | {"value": self._json_or_text(serialized["value"])}}

    def _values(self, part: Any) -> Any:
        # The keys here are MLflow's own.
        return {key: self.value(item) for key, item in part.items()} if isinstance(part, dict) else self.value(part)

    def _span(self, span: dict[str, Any]) -> dict[str, Any]:
        span["name"] = self.text(span["name"])
        span["attributes"] = {key: self._named(key, item) for key, item in span["attributes"].items()}
        for event in span.get("events", ()):
            event["attributes"] = {key: self._json_or_text(item) for key, item in event.get("attributes", {}).items()}
        if message := span.get("status", {}).get("message"):
            span["status"]["message"] = self.text(message)
        return span

    def _named(self, name: str, item: Any) -> Any:
        """What is stored under a name: an id, or a text."""
        if name in _PERSONAL and self._hashes_ids and isinstance(item, str):
            return self._hashed(item)
        return item if name in _IDS else self._json_or_text(item)

    def _hashed(self, item: str) -> str:
        # Attributes of spans are JSON: the hash is that of the id itself, the same as in the trace's own fields.
        try:
            document = json.loads(item)
        except ValueError:
            return self.identifier(item)
        return json.dumps(self.identifier(document)) if isinstance(document, str) else self.identifier(item)

    def _json_or_text(self, item: Any) -> Any:
        """A text, or a JSON document in a text: an escaped line break must not hide what stands behind it."""
        if not isinstance(item, str):
            return self.value(item)
        try:
            document = json.loads(item)
        except ValueError:
            return self.text(item)
        redacted = self.value(document)
        return item if redacted == document else json.dumps(redacted, ensure_ascii=False)


def _unescaped(escape: re.Match[str]) -> str:
    digits = escape["digits"]
    return chr(int(digits, 16)) if digits else _ESCAPED.get(escape["letter"], escape["letter"])


def _compiled(pattern: BuiltinPattern | OwnPattern) -> tuple[str, re.Pattern[str]]:
    if isinstance(pattern, OwnPattern):
        return f"[{pattern.name}]", re.compile(pattern.regex)
    return f"[{pattern}]", re.compile(_BUILTIN[pattern])
