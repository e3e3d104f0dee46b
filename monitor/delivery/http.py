"""Posting to a receiver over HTTP: whom it trusts, what it shows, by which proxy, and what its answers mean."""

import ssl
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx

from monitor.alerts.receivers import ReceiverSettings
from monitor.delivery.errors import DeliveryFailed
from monitor.masking import Mask
from monitor.printable import printable

_MOST_BYTES = 64 * 1024
_WORDS = 200
_LONGEST_RETRY_AFTER_S = 3600.0
# Of this message, and not of the receiver: it is too large, or not understood.
_REFUSED = frozenset({400, 406, 413, 415, 422})


class ReceiverHttp:
    """A client for one receiver. After a failure it is made anew, so that a file of authorities may be replaced."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._timeout_s = settings.timeout.total_seconds()
        self._mask = Mask.of(settings, {})
        self._client: httpx.Client | None = None

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Post a body of JSON; any answer of class 2xx accepts it.

        Raises:
            DeliveryFailed: it was not accepted.
        """
        self._ask("POST", url, body, {"content-type": "application/json", **headers})

    def probe(self, method: str, url: str, *, any_answer: bool) -> str:
        """Ask for a sign of life; `any_answer`: also "method not allowed" is one. Returns in words what answered.

        Raises:
            DeliveryFailed: there is none.
        """
        status = self._ask(method, url, None, {}, any_answer=any_answer)
        return f"{_host(url)} answers (HTTP {status} to {method})"

    def _ask(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, any_answer: bool = False
    ) -> int:
        deadline_s = time.monotonic() + self._timeout_s
        try:
            client = self._connected()
            with client.stream(method, url, content=body, headers={**headers, **self._login()}) as answer:
                said = _read(answer, deadline_s)
        except httpx.TimeoutException as error:
            self._forget()
            raise DeliveryFailed(f"{_host(url)}: no answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            self._forget()
            # Not chained: the library's error may quote a header or the address.
            raise DeliveryFailed(self._words(url, f"{type(error).__name__}: {error}")) from None
        if not answer.is_success and not (any_answer and answer.status_code in _ANY_ANSWER):
            raise DeliveryFailed(
                self._words(url, f"HTTP {answer.status_code}: {said}"),
                refused=answer.status_code in _REFUSED,
                retry_after_s=_retry_after_s(answer),
            )
        return answer.status_code

    def _connected(self) -> httpx.Client:
        if self._client is None:
            settings = self._settings
            verify: Any = True if settings.ca_file is None else ssl.create_default_context(cafile=settings.ca_file)
            self._client = httpx.Client(timeout=self._timeout_s, verify=verify, proxy=settings.proxy)
        return self._client

    def _forget(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _login(self) -> dict[str, str]:
        # Asked for at each request: a secret may stand for a file that has changed since.
        settings = self._settings
        if settings.token is not None:
            return {"authorization": f"Bearer {settings.token.get_secret_value()}"}
        if settings.username is not None and settings.password is not None:
            basic = httpx.BasicAuth(settings.username, settings.password.get_secret_value())
            request = next(basic.auth_flow(httpx.Request("GET", "http://receiver")))
            return {"authorization": request.headers["authorization"]}
        return {}

    def _words(self, url: str, words: str) -> str:
        return self._mask(f"{_host(url)}: {printable(' '.join(words.split()))[:_WORDS]}")


_ANY_ANSWER = frozenset({int(HTTPStatus.BAD_REQUEST), int(HTTPStatus.METHOD_NOT_ALLOWED), 415, 422, 501})


def _read(answer: httpx.Response, deadline_s: float) -> str:
    """The beginning of the answer, for people; a receiver cannot keep us by sending for ever."""
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > _MOST_BYTES:
            break
        if time.monotonic() > deadline_s:
            raise httpx.ReadTimeout("the answer never ends")
    return bytes(body[: 4 * _WORDS]).decode("utf-8", "replace")


def _host(url: str) -> str:
    """The one part of an address that is no secret."""
    try:
        parts = urlsplit(url)
        return parts.netloc.rpartition("@")[2] or "receiver"
    except ValueError:
        return "receiver"


def _retry_after_s(answer: httpx.Response) -> float | None:
    try:
        return min(max(0.0, float(answer.headers.get("retry-after", ""))), _LONGEST_RETRY_AFTER_S)
    except ValueError:
        return None
