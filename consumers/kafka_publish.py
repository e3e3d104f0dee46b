"""Messages to a Kafka topic, many on their way at a time, each waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumers.kafka_producer import ReliableProducer, chunks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from consumers.settings import SourceSettings

CHUNK = 500
_LINGER_MS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A message to publish."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class BatchPublisher:
    """Publishes to `settings.topic`, a batch at a time; close it, or use it in a `with`."""

    def __init__(self, settings: SourceSettings) -> None:
        self._topic = settings.topic
        self._producer = ReliableProducer(settings, linger_ms=_LINGER_MS)

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Return once every in-sync replica has all of them. Partitions are the client's choice, by the key.

        Raises:
            SourceUnavailable: any of them may or may not have been published.
            MessageRefused: one is larger than the topic takes; any of the others may or may not have been published.
        """
        futures = [self._producer.send(self._topic, each.value, each.key, each.headers) for each in messages]
        for future in futures:
            self._producer.wait(future)

    def close(self) -> None:
        """Let go."""
        self._producer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _silent(_published: int) -> None:
    return None


def publish_lines(
    settings: SourceSettings,
    lines: Iterable[bytes],
    progress: Callable[[int], None] = _silent,
    *,
    headers: tuple[tuple[str, bytes], ...] = (),
) -> int:
    """Send each line, without its line end, to `settings.topic`; the number sent.

    Partitions are the client's choice. `progress` gets the number acknowledged so far. Empty lines are left out.

    Raises:
        SourceUnavailable: what `progress` has not reported may or may not have been published.
        MessageRefused: a line is larger than the topic takes.
    """
    published = 0
    with BatchPublisher(settings) as publisher:
        stripped = (line.rstrip(b"\r\n") for line in lines)
        for chunk in chunks_of((line for line in stripped if line), CHUNK, len):
            publisher.publish([Outgoing(value=line, headers=headers) for line in chunk])
            published += len(chunk)
            progress(published)
    return published
