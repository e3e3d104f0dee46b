"""How MLflow's HTTP client reaches the configured tracking server: whom it trusts, what it shows, and by which proxy.

MLflow reads credentials and certificates from environment variables, which every child process inherits, and has no
setting for a proxy of its own. All its requests go through sessions that one of its functions makes; that function is
wrapped here, so that each session has an adapter for the tracking server's address, and for no other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mlflow.utils import request_utils
from requests.auth import HTTPBasicAuth

from monitor.settings import MlflowSettings

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session
    from requests.adapters import BaseAdapter

_MAKE_SESSION = "_cached_get_request_session"
_original = getattr(request_utils, _MAKE_SESSION, None)


def configure_mlflow_transport(settings: MlflowSettings) -> None:
    """From now on requests of this process to the tracking server are made as the settings say.

    Secrets are read at each request, so that a rotated one is used at once. May be called again: the last call holds.
    """
    if not settings.has_own_transport:
        if _original is not None:
            setattr(request_utils, _MAKE_SESSION, _original)
        return
    # A version of MLflow that has no such function would go to the server without credentials: better to fail here.
    if _original is None or not hasattr(_original, "__wrapped__"):
        raise RuntimeError("this version of MLflow makes its sessions otherwise: see monitor/tracking/transport.py")
    make = _original.__wrapped__

    @lru_cache(maxsize=64)
    def make_session(*args: Any, **options: Any) -> Session:
        session: Session = make(*args, **options)
        # The slash keeps http://mlflow.example from matching http://mlflow.example.org.
        session.mount(
            f"{settings.tracking_uri.rstrip('/')}/", _TrackingServer(settings, session.get_adapter("https://"))
        )
        return session

    setattr(request_utils, _MAKE_SESSION, make_session)


class _TrackingServer(request_utils.TCPKeepAliveHTTPAdapter):
    """Sends requests to the tracking server alone: requests picks an adapter by the beginning of the address."""

    def __init__(self, settings: MlflowSettings, like: BaseAdapter) -> None:
        super().__init__(max_retries=getattr(like, "max_retries", 0))
        self._settings = settings

    def send(  # noqa: PLR0917 - the signature is the library's
        self,
        request: PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002
        timeout: Any = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: Any = None,
        proxies: Any = None,
    ) -> Response:
        settings = self._settings
        if settings.ca_file is not None:
            verify = str(settings.ca_file)
        if settings.client_cert_file is not None:
            cert = str(settings.client_cert_file)
        if settings.proxy is not None:
            proxies = {"http": settings.proxy, "https": settings.proxy}
        if settings.token is not None:
            request.headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
        elif settings.username is not None and settings.password is not None:
            request = HTTPBasicAuth(settings.username, settings.password.get_secret_value())(request)
        answer: Response = super().send(request, stream, timeout, verify, cert, proxies)
        return answer
