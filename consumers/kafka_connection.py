"""The one border to the Kafka client library: how it is connected, and what its errors mean here."""

from __future__ import annotations

import logging
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from kafka import errors as kafka_errors

from consumers.errors import (
    ConsumersError,
    MemberFenced,
    MessageRefused,
    OwnershipLost,
    SourceFailed,
    SourceUnavailable,
)
from consumers.kafka_credentials import explained, network, with_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

OWNERSHIP_ERRORS = (
    kafka_errors.CommitFailedError,
    kafka_errors.FencedMemberEpochError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.MemberIdRequiredError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.StaleMemberEpochError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.UnreleasedInstanceIdError,
)
REFUSED_ERRORS = (
    kafka_errors.InvalidRecordError,
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
)
UNAVAILABLE_ERRORS = (
    kafka_errors.RetriableError,
    kafka_errors.AuthorizationError,
    kafka_errors.BrokerNotAvailableError,
    kafka_errors.DelegationTokenExpiredError,
    kafka_errors.GroupMaxSizeReachedError,
    kafka_errors.IllegalSaslStateError,
    # Messages are stamped with the time of now: it is this machine's clock that is wrong, for all of them.
    kafka_errors.InvalidTimestampError,
    kafka_errors.KafkaProtocolError,
    kafka_errors.QuotaViolationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.SecurityDisabledError,
    kafka_errors.StaleBrokerEpochError,
    kafka_errors.StaleControllerEpochError,
    kafka_errors.UnknownBrokerIdError,
    kafka_errors.UnrecognizedBrokerVersion,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.UnsupportedVersionError,
)


def translate(error: kafka_errors.KafkaError) -> ConsumersError:
    """This package's error for one of the client library's."""
    text = describe(error)
    if isinstance(error, kafka_errors.FencedInstanceIdError):
        return MemberFenced(text)
    if isinstance(error, OWNERSHIP_ERRORS):
        return OwnershipLost(text)
    if isinstance(error, REFUSED_ERRORS):
        return MessageRefused(text)
    if isinstance(error, UNAVAILABLE_ERRORS):
        return SourceUnavailable(text)
    return SourceFailed(text)


def describe(error: BaseException) -> str:
    """One line: the error's own words, or its name where it has none."""
    words = " ".join(str(error).split()).removesuffix(": None")
    return words or type(error).__name__


@contextmanager
def kafka_border() -> Iterator[None]:
    """Turn the client library's errors into this package's."""
    try:
        yield
    except kafka_errors.KafkaError as error:
        raise translate(error) from error


def connect(factory: Callable[..., T], options: Mapping[str, Any], *, topics: tuple[str, ...] = ()) -> T:
    """Make a client that has reached the cluster.

    The library reports every failure to connect as one and the same timeout and writes the cause to its log, so the log
    is read meanwhile. A client that fails in its constructor leaves its thread running and no handle to stop it, so the
    network part is made here, where it can be closed.

    Raises:
        SourceUnavailable: with the cause (refused, wrong password, unknown authority, unknown host ...).
    """
    theirs, credentials = with_credentials(options)
    parts: list[Any] = []

    def connected(**configs: Any) -> Any:
        parts.append(network(credentials, configs))
        return parts[-1]

    with _cause_from_log() as cause:
        try:
            return factory(*topics, **theirs, kafka_client=connected)
        except (kafka_errors.KafkaError, OSError, ValueError) as error:
            for part in parts:
                part.close()
            where = f"Kafka at {options.get('bootstrap_servers')}"
            raise SourceUnavailable(f"{where}: {explained(cause() or describe(error), theirs)}") from error


class _CauseCollector(logging.Handler):
    """Keeps the most telling line of the client library's log: a refusal by name tells more than a lost connection."""

    _TELLING = re.compile(r"Sasl|Authenti|Authori|certificate|Incompatible|Unsupported")
    _PREFIX = re.compile(r"^(Connection failed: |<KafkaConnection [^>]*>: Connection lost: )")
    _NOISE = re.compile(r"^<Kafka\w*Transport|^Bootstrap|timed out|^Request ")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._best = (-1, "")

    def emit(self, record: logging.LogRecord) -> None:
        text = " ".join(record.getMessage().split())
        if record.levelno < logging.ERROR or self._NOISE.search(text):
            return
        rank = 2 if self._TELLING.search(text) else int(text.startswith("Connection failed"))
        self._best = max(self._best, (rank, self._PREFIX.sub("", text)), key=lambda seen: seen[0])

    def cause(self) -> str | None:
        return self._best[1] or None


class _Listeners:
    """Who connects right now: several threads may, and the last one to be done lets the log be seen again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def begin(self, logger: logging.Logger) -> None:
        with self._lock:
            self._count += 1
            logger.propagate = False

    def end(self, logger: logging.Logger) -> None:
        with self._lock:
            self._count -= 1
            logger.propagate = self._count == 0


_LISTENERS = _Listeners()


@contextmanager
def _cause_from_log() -> Iterator[Callable[[], str | None]]:
    """Listen to the library's log, and keep its retries off the screen: the cause is raised, once."""
    logger = logging.getLogger("kafka")
    collector = _CauseCollector()
    logger.addHandler(collector)
    _LISTENERS.begin(logger)
    try:
        yield collector.cause
    finally:
        _LISTENERS.end(logger)
        logger.removeHandler(collector)
