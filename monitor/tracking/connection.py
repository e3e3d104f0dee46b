"""The border to an MLflow tracking store: how to connect so that an outage shows in seconds, and what its errors mean.

MLflow's own defaults wait four minutes for a server that is away; a daemon that waits itself wants to know at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import sqlalchemy
from mlflow.exceptions import MlflowException
from mlflow.tracing.client import TracingClient
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from monitor.errors import MonitorError, ServiceUnavailable

CONNECT_TIMEOUT_S = 5

# Of numbers that are too large for MLflow's messages Python says OverflowError.
_RAISED = (
    MlflowException, SQLAlchemyError, NotImplementedError, OSError, ValueError, TypeError, KeyError, ArithmeticError,
)  # fmt: skip

CLIENT_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT": "15",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "20",
    "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "20",
}
"""MLflow's settings, environment variables all, that apply where the operator has set nothing else."""

WAITING_HELPS = frozenset(
    {
        "ABORTED",
        "CANCELLED",
        "COULD_NOT_ACQUIRE_LOCK",
        "CUSTOMER_UNAUTHORIZED",
        "DEADLINE_EXCEEDED",
        "IO_ERROR",
        "PERMISSION_DENIED",
        "QUOTA_EXCEEDED",
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "RESOURCE_LIMIT_EXCEEDED",
        "SERVICE_UNDER_MAINTENANCE",
        "TEMPORARILY_UNAVAILABLE",
        "UNAUTHENTICATED",
        "WORKSPACE_TEMPORARILY_UNAVAILABLE",
    }
)
"""Error codes that speak of the server, or of our rights there, and not of what was sent."""

_SERVER_IS_AWAY = ("API request to", "failed with")
_SERVER_FAILS = "too many 500 error responses"
_SERVER_REFUSES = ("failed with error code 4", _SERVER_FAILS)


def connect(tracking_uri: str) -> TracingClient:
    """A client of the tracking store at `tracking_uri`; the store's schema is made if it is empty.

    Call it within `mapped`: what it raises is as MLflow, SQLAlchemy or the socket said it.
    """
    apply_client_limits()
    ping(tracking_uri)
    return TracingClient(tracking_uri)


def apply_client_limits() -> None:
    """Set, in this process, the limits of MLflow's client that the operator left open."""
    for name, value in CLIENT_LIMITS.items():
        os.environ.setdefault(name, value)


def is_sqlite(tracking_uri: str) -> bool:
    """Whether the store is an SQLite file, which has room for one writer at a time."""
    return tracking_uri.startswith("sqlite:")


def ping(tracking_uri: str) -> None:
    """Ask the store for a sign of life, without MLflow's retries.

    Raises:
        OSError: it gives none.
        SQLAlchemyError: its database gives none.
    """
    if tracking_uri.startswith(("http://", "https://")):
        _ping_server(tracking_uri)
    elif not is_sqlite(tracking_uri):
        _ping_database(tracking_uri)


@contextmanager
def mapped(
    unavailable: type[ServiceUnavailable],
    rejected: type[MonitorError],
    *,
    failing: type[ServiceUnavailable] | None = None,
) -> Iterator[None]:
    """Turn what MLflow raises into the caller's errors, with one line that names the cause.

    Raises:
        unavailable: the store is away, or refuses us: waiting may help.
        rejected: the store is well and will never take what was sent.
        failing: its server answers 500, to this or to everything; None where the caller takes that for a rejection.
    """
    try:
        yield
    except _RAISED as error:
        kind: type[Exception] = unavailable if waiting_helps(error) else rejected
        if failing is not None and isinstance(error, MlflowException) and _SERVER_FAILS in str(error):
            kind = failing
        raise kind(one_line(error)) from error


def waiting_helps(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, MlflowException):
        return _mlflow_may_recover(error)
    if isinstance(error, SQLAlchemyError):
        return _database_is_away(error)
    # MLflow reads a server's version before it sends spans, and says NotImplementedError when none comes.
    return isinstance(error, OSError | NotImplementedError)


def one_line(error: Exception) -> str:
    """The error's words without line breaks, at most 500 characters.

    Of a database's error only the driver's words: a statement's parameters are customers' text.
    """
    database = error if isinstance(error, SQLAlchemyError) else error.__cause__
    said = getattr(database, "orig", None) or database if isinstance(database, SQLAlchemyError) else error
    return f"{type(error).__name__}: {' '.join(str(said).split())}"[:500]


def _mlflow_may_recover(error: MlflowException) -> bool:
    if isinstance(error.__cause__, SQLAlchemyError):
        return _database_is_away(error.__cause__)
    if error.error_code in WAITING_HELPS:
        return True
    words = str(error)
    return all(part in words for part in _SERVER_IS_AWAY) and not any(part in words for part in _SERVER_REFUSES)


def _database_is_away(error: SQLAlchemyError) -> bool:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, OperationalError | InterfaceError | PoolTimeoutError)


def _ping_server(tracking_uri: str) -> None:
    try:
        # MLflow's own client: its credentials, certificates and proxy are part of the question.
        answer = http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(tracking_uri),  # type: ignore[no-untyped-call]
            "/health",
            "GET",
            max_retries=0,
            timeout=CONNECT_TIMEOUT_S,
            raise_on_status=False,
        )
    except MlflowException as error:
        raise ConnectionError(f"{tracking_uri}: {_cause(error)}") from error
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ConnectionError(f"{tracking_uri}: /health answers {answer.status_code}")


def _cause(error: MlflowException) -> str:
    """What MLflow's client says, without what it says around it."""
    words = " ".join(str(error).split())
    return words.rpartition(" failed with exception ")[2]


def _ping_database(tracking_uri: str) -> None:
    arguments = {"connect_timeout": CONNECT_TIMEOUT_S} if tracking_uri.startswith(("postgresql", "mysql")) else {}
    engine = sqlalchemy.create_engine(tracking_uri, connect_args=arguments, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
