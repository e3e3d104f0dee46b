"""One chat completion over HTTP: what is sent, how much of the answer is read, and what its status means."""

import email.utils
import json
import math
import time
from typing import Any

import httpx

from scorers.errors import JudgeUnavailable, OutageKind, ScorerError
from scorers.settings import JudgeSettings

# Statuses that say something about the endpoint, the key, the quota or the model, and nothing about the trace.
_REFUSED = frozenset({401, 402, 403, 404, 407})
_OVERLOADED = frozenset({429, 529})
_UNREACHABLE = frozenset({408, 425})
_SERVER_ERROR = 500
# No request arrived whole, so that none is billed; whatever else goes wrong may come after the model has worked.
_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)
_LONGEST_RETRY_AFTER_S = 3600.0
_OK = 200
_WORDS = 300
_MASK = "***"


class RequestRefused(ScorerError):
    """The endpoint will not answer this very request: it is too long, say. Waiting would not help."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        self.words = words
        super().__init__(f"HTTP {status}: {words}")


class ChatHttp:
    """Sends chat completions; connections are kept open between calls. Threads may share it."""

    def __init__(self, settings: JudgeSettings) -> None:
        self._settings = settings
        self._most_bytes = int(settings.answer_bytes)
        self._timeout_s = settings.timeout.total_seconds()
        self._client = http_client(settings)

    def post(self, url: str, headers: dict[str, str], payload: dict[str, Any]) -> dict[str, Any]:
        """The completion for a request's body.

        Raises:
            JudgeUnavailable: no answer, or one that is no chat completion.
            RequestRefused: the endpoint refuses this request, and would answer another one.
        """
        # Asked for at each call: a secret may stand for a file that has changed since.
        own = {name: value.get_secret_value() for name, value in self._settings.headers.items()}
        sent = httpx.Headers(headers)
        sent.update(own)
        if self._settings.api_key is not None:
            sent["authorization"] = f"Bearer {self._settings.api_key.get_secret_value()}"
        secrets = [sent.get("authorization", "").removeprefix("Bearer "), *own.values()]
        deadline_s = time.monotonic() + self._timeout_s
        try:
            with self._client.stream("POST", url, headers=sent, json=payload) as answer:
                body = self._read(answer, url, deadline_s)
        except httpx.TimeoutException as error:
            words = f"no answer within {self._timeout_s:g} s ({type(error).__name__})"
            raise JudgeUnavailable(words, endpoint=url, timed_out=True, unmetered=_unmetered(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            words = _masked(f"{type(error).__name__}: {error}"[:_WORDS], secrets)
            raise JudgeUnavailable(words, endpoint=url, unmetered=_unmetered(error)) from None
        return _completion(answer, body, url, secrets)

    def _read(self, answer: httpx.Response, url: str, deadline_s: float) -> bytes:
        """The body, as far as the bounds on its length and on its time go."""
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > self._most_bytes:
                words = f"an answer of more than {self._most_bytes} bytes"
                unmetered = int(answer.status_code == _OK)
                raise JudgeUnavailable(
                    words, endpoint=url, status=answer.status_code, kind="garbled", unmetered=unmetered
                )
            if time.monotonic() > deadline_s:
                raise httpx.ReadTimeout("the answer never ends")
        return bytes(body)


def http_client(settings: JudgeSettings) -> httpx.Client:
    """A client for the judge's endpoint and nothing else: its authorities, its proxy, its bounds."""
    verify: Any = True
    if settings.ca_file is not None:
        import ssl  # noqa: PLC0415 - most configurations need none

        verify = ssl.create_default_context(cafile=str(settings.ca_file))
    calls = settings.concurrency + 2
    return httpx.Client(
        timeout=settings.timeout.total_seconds(),
        verify=verify,
        proxy=settings.proxy,
        limits=httpx.Limits(max_connections=calls, max_keepalive_connections=calls),
    )


def retry_after_s(answer: httpx.Response) -> float | None:
    """The seconds that a Retry-After header asks for, given as seconds or as a date; None without a readable one.

    At most an hour: whoever asks for longer is asked again then.
    """
    given = answer.headers.get("retry-after", "").strip()
    try:
        asked_s = float(given)
    except ValueError:
        try:
            asked_s = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return None if math.isnan(asked_s) else min(max(0.0, asked_s), _LONGEST_RETRY_AFTER_S)


def _unmetered(error: Exception) -> int:
    """1 where the model may have worked for a request that failed so, else 0."""
    return 0 if isinstance(error, _NOT_SENT) else 1


def _completion(answer: httpx.Response, body: bytes, url: str, secrets: list[str]) -> dict[str, Any]:
    if answer.status_code != _OK:
        raise _trouble(answer, body, url, secrets)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found.get("choices"):
        words = f"an answer that is no chat completion: {_masked(_shape(answer, body, found), secrets)}"
        raise JudgeUnavailable(words, endpoint=url, kind="garbled", unmetered=1)
    return found


def _shape(answer: httpx.Response, body: bytes, found: object) -> str:
    """What came in its place. These words are logged: only a page, which no model has written, is quoted."""
    shape = f"{len(body)} bytes of {answer.headers.get('content-type', 'an unnamed type')}"
    if isinstance(found, dict):
        return f"{shape}, an object with {', '.join(sorted(map(str, found))[:5]) or 'nothing in it'}"[:_WORDS]
    return f"{shape}, {body[:80].decode('utf-8', 'replace')!r}" if body.lstrip().startswith(b"<") else shape


def _trouble(answer: httpx.Response, body: bytes, url: str, secrets: list[str]) -> ScorerError:
    status, words = answer.status_code, _masked(_error_words(body), secrets)
    kind = _kind(status)
    if kind is None:
        return RequestRefused(status, words)
    return JudgeUnavailable(
        f"HTTP {status}: {words[:_WORDS]}", endpoint=url, status=status, kind=kind, retry_after_s=retry_after_s(answer)
    )


def _kind(status: int) -> OutageKind | None:
    """What a status other than 200 says about the endpoint; None where it is about the request."""
    if status in _OVERLOADED:
        return "overloaded"
    if status in _REFUSED:
        return "refused"
    if status in _UNREACHABLE or status >= _SERVER_ERROR:
        return "unreachable"
    return None if status >= 400 else "garbled"  # noqa: PLR2004 - the class of client errors


def _error_words(body: bytes) -> str:
    text = body[:4096].decode("utf-8", "replace")
    try:
        error = json.loads(body)["error"]
        return str(error.get("message", text)) if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return text


def _masked(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, _MASK)
    return text
