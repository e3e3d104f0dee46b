"""Access tokens for SASL OAUTHBEARER, from a token endpoint by OAuth's client-credentials grant."""

from __future__ import annotations

import ssl
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import httpx
from kafka.net.sasl.oauth import AbstractTokenProvider

from consumers.errors import SourceUnavailable

if TYPE_CHECKING:
    from consumers.settings import OAuthSettings

# Share of its life that a token is used: the brokers' clocks may be ahead of ours.
_USED_SHARE = 0.8
# Seconds that a token lives whose endpoint does not say.
_DEFAULT_LIFE_S = 300.0


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # the library has no types
    """Fetches a token when there is none that is still good; one client's connections share it."""

    def __init__(self, settings: OAuthSettings, timeout_s: float) -> None:
        super().__init__()
        self._settings = settings
        self._timeout_s = timeout_s
        self._fetching = threading.Lock()
        self._token = ""
        self._good_until = 0.0

    def token(self) -> str:
        """A token that is good now. It is asked for with the client's secret as it is now.

        Raises:
            SourceUnavailable: the endpoint cannot be reached, refuses, or answers without a token.
        """
        with self._fetching:
            if monotonic() >= self._good_until:
                asked = monotonic()
                self._token, life_s = self._fetch()
                self._good_until = asked + life_s * _USED_SHARE
            return self._token

    def _fetch(self) -> tuple[str, float]:
        settings = self._settings
        form = {"grant_type": "client_credentials"} | ({"scope": settings.scope} if settings.scope else {})
        try:
            answer = httpx.post(
                settings.token_url,
                data=form,
                auth=(settings.client_id, settings.client_secret.get_secret_value()),
                headers={"accept": "application/json"},
                timeout=self._timeout_s,
                verify=True if settings.ca_file is None else ssl.create_default_context(cafile=settings.ca_file),
            )
            body = answer.json() if answer.is_success else {}
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise self._failed(str(error) or type(error).__name__) from error
        if not answer.is_success:
            raise self._failed(f"HTTP {answer.status_code}{_reason(answer)}")
        token = body.get("access_token") if isinstance(body, dict) else None
        if not isinstance(token, str) or not token:
            raise self._failed("the answer has no access_token")
        life_s = body.get("expires_in")
        return token, float(life_s) if isinstance(life_s, int | float) else _DEFAULT_LIFE_S

    def _failed(self, cause: str) -> SourceUnavailable:
        return SourceUnavailable(f"no token from {self._settings.token_url}: {cause}")


def _reason(answer: httpx.Response) -> str:
    """OAuth's error code, which is one of a few words; the rest of the answer is the endpoint's own affair."""
    try:
        body: Any = answer.json()
    except ValueError:
        return ""
    code = body.get("error") if isinstance(body, dict) else None
    return f" ({code[:80]})" if isinstance(code, str) else ""
