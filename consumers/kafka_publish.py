"""Lines of a file to a Kafka topic, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumers.kafka_producer import ReliableProducer, chunks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from consumers.settings import SourceSettings

_CHUNK = 500


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
    producer = ReliableProducer(settings, linger_ms=5)
    published = 0
    try:
        stripped = (line.rstrip(b"\r\n") for line in lines)
        for chunk in chunks_of((line for line in stripped if line), _CHUNK):
            for future in [producer.send(settings.topic, line, headers=headers) for line in chunk]:
                producer.wait(future)
            published += len(chunk)
            progress(published)
    finally:
        producer.close()
    return published
