"""A producer that says when a message is safe, and why it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from kafka import KafkaProducer

from consumers.errors import ConsumersError
from consumers.kafka_connection import connect, kafka_border
from consumers.settings import SourceSettings, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# The broker's own limit decides what is too large, not the client's guess at it.
_MAX_REQUEST_BYTES = 128 * 1024 * 1024
_HEAVY = 16 * 1024 * 1024

T = TypeVar("T")


class ReliableProducer:
    """Acknowledged by all in-sync replicas, idempotent, with one deadline for a message; connects when first used."""

    def __init__(self, settings: SourceSettings, *, linger_ms: int = 0) -> None:
        self._settings = settings
        self._linger_ms = linger_ms
        self._client: Any = None

    @property
    def timeout_s(self) -> float:
        """How long a message may take to be safe, in seconds."""
        return self._settings.request_timeout.total_seconds()

    def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: tuple[tuple[str, bytes], ...] = (),
    ) -> Any:
        """Hand over a message; the answer is the library's future, for `wait`.

        Raises:
            SourceUnavailable: the cluster cannot be reached, or does not have the topic.
            MessageRefused: too large for any broker.
        """
        if self._client is None:
            self._client = connect(KafkaProducer, self._options())
        with kafka_border():
            return self._client.send(topic, value=value, key=key, headers=list(headers))

    def wait(self, future: Any) -> None:
        """Return once the message is acknowledged. Raises as `send`."""
        try:
            with kafka_border():
                future.get(timeout=self.timeout_s + 1)
        except ConsumersError:
            # An idempotent producer that has lost one message refuses all that follow: begin anew with the next.
            self.close()
            raise

    def flush(self) -> None:
        """Return once nothing is on its way. Raises as `send`."""
        if self._client is not None:
            with kafka_border():
                self._client.flush(timeout=self.timeout_s + 1)

    def close(self) -> None:
        """Let go; what is not acknowledged by now is given up."""
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout=1)

    def _options(self) -> dict[str, Any]:
        timeout_ms = max(1000, milliseconds(self._settings.request_timeout))
        return {
            **self._settings.connection(),
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": self._linger_ms,
            "compression_type": "lz4",
            "max_request_size": _MAX_REQUEST_BYTES,
            "allow_auto_create_topics": True,
            "request_timeout_ms": timeout_ms,
            "delivery_timeout_ms": timeout_ms + self._linger_ms,
            "max_block_ms": timeout_ms,
        }


def chunks_of(items: Iterable[T], size: int, weight: Callable[[T], int] = lambda _item: 0) -> Iterator[list[T]]:
    """Lists of up to `size` items, or of fewer once their weights exceed 16 Mi."""
    chunk: list[T] = []
    heavy = 0
    for item in items:
        chunk.append(item)
        heavy += weight(item)
        if len(chunk) == size or heavy > _HEAVY:
            yield chunk
            chunk, heavy = [], 0
    if chunk:
        yield chunk
