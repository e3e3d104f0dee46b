"""The last line of defence for secrets: what is about to be shown is searched for every secret that is known."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from pydantic import BaseModel, SecretStr

MASKED = "***"
# A shorter text is found by chance in any line: it would tell the secret, not hide it.
SHORTEST = 4

_PASSWORD_OF_URL = re.compile(r"://[^/?#\s]*?:([^/?#\s]+)@")
_DATABASES = ("sqlite", "postgres")
_WITH_ANY_SCHEME = re.compile(r"^[^:]*://")
# Words, numbers, host names and their ports: masked, they would tear holes into every line.
_PLAIN = re.compile(r"[a-z]+|[0-9]+|[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]+)?|localhost(:[0-9]+)?")
_HIDDEN_VARIABLES = (
    "OPENAI_API_KEY", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)  # fmt: skip


class Mask:
    """Replaces secrets by `***`, in each of the forms in which they may stand; safe to use from any thread.

    What it has once seen as a secret stays one: the former value of a rotated secret may still be good somewhere.
    """

    def __init__(self) -> None:
        self._learning = threading.Lock()
        self._secrets: list[SecretStr] = []
        self._known: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    @classmethod
    def of(cls, settings: BaseModel, environ: Mapping[str, str]) -> "Mask":
        """The mask of all secrets in the settings, and of the variables in which libraries look for some."""
        mask = cls()
        mask.learn(settings, environ)
        return mask

    def learn(self, settings: BaseModel, environ: Mapping[str, str]) -> None:
        """Take in further secrets: those of the settings, at any depth, and those of the environment."""
        texts = [SecretStr(environ[name]) for name in _HIDDEN_VARIABLES if environ.get(name)]
        with self._learning:
            self._secrets += [*_secrets_in(settings), *texts]
        self._keep_up()

    def __call__(self, text: str) -> str:
        """The text without any secret."""
        self._keep_up()
        return text if self._pattern is None else self._pattern.sub(MASKED, text)

    def _keep_up(self) -> None:
        now = {form for secret in self._secrets for form in _forms(secret.get_secret_value())}
        if now <= self._known:
            return
        with self._learning:
            self._known |= now
            # The longest first: one secret may be the beginning of another.
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))


def _secrets_in(value: Any) -> Iterator[SecretStr]:
    if isinstance(value, SecretStr):
        yield value
    elif isinstance(value, str):
        yield from map(SecretStr, _PASSWORD_OF_URL.findall(value))
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _secrets_in(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _secrets_in(each)


def _tokens(address: str) -> Iterator[str]:
    """An address as a whole, and the parts of it that are no plain words: `T01AB` is one, `services` and hosts are not.

    Of a chat's address (`slack://TOKEN/TOKEN`) the place of the host may hold a token as well.
    """
    yield address
    parts = urlsplit(_WITH_ANY_SCHEME.sub("http://", address))
    login, _, host = parts.netloc.rpartition("@")
    words = [*login.split(":"), *parts.path.split("/"), *re.split(r"[&=]", parts.query), *parts.fragment.split("/")]
    if not address.startswith(("http://", "https://")):
        words.append(host)
    for word in words:
        for text in (word, unquote(word)):
            if len(text) >= 2 * SHORTEST and not _PLAIN.fullmatch(text):
                yield text
    yield from (part for part in login.split(":")[1:] for part in (part, unquote(part)))


def _forms(secret: str) -> Iterator[str]:
    """A secret as it may stand in a text: as it is, in a URL, in JSON.

    Of a database's address only the password is secret. Of a webhook's or a chat's it is all that may be a token.
    """
    if "://" in secret and not secret.startswith(_DATABASES):
        bare = list(_tokens(secret))
    elif "://" in secret:
        bare = [form for password in _PASSWORD_OF_URL.findall(secret) for form in (password, unquote(password))]
    else:
        # `Bearer TOKEN`: the token also stands alone.
        bare = [secret, *(word for word in secret.split() if len(word) >= 2 * SHORTEST)]
    for text in bare:
        for form in (text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1], repr(text)[1:-1]):
            if len(form) >= SHORTEST:
                yield form
