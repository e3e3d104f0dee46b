"""Dead letters in a Kafka topic of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from consumers.dead_letters import TRUNCATED_HEADER, DeadLetter, dead_letter
from consumers.errors import MessageRefused
from consumers.kafka_producer import ReliableProducer

if TYPE_CHECKING:
    from consumers.messages import Message
    from consumers.settings import SourceSettings

_KEPT_BYTES = 256 * 1024


class KafkaDeadLetters:
    """A `DeadLetterQueue` on `settings.dead_letters`; the topic should exist, or be one that brokers create."""

    def __init__(self, settings: SourceSettings) -> None:
        self._topic = settings.dead_letters
        self._producer = ReliableProducer(settings)

    def send(self, message: Message, reason: str, detail: str) -> None:
        """Return once every in-sync replica has the letter.

        A value that the topic refuses as too large is cut to its first 256 KiB, with its true size in a header: a
        message that is too large must not stop its partition.

        Raises:
            SourceUnavailable: not acknowledged within the request timeout; it may have been written all the same.
            MessageRefused: the topic does not take even the cut letter.
        """
        letter = dead_letter(message, reason, detail)
        try:
            self._deliver(letter)
        except MessageRefused:
            if message.value is None or len(message.value) <= _KEPT_BYTES:
                raise
            size = (TRUNCATED_HEADER, str(len(message.value)).encode())
            self._deliver(replace(letter, value=message.value[:_KEPT_BYTES], headers=(*letter.headers, size)))

    def flush(self) -> None:
        """Return once nothing is on its way."""
        self._producer.flush()

    def close(self) -> None:
        """Let go."""
        self._producer.close()

    def _deliver(self, letter: DeadLetter) -> None:
        self._producer.wait(self._producer.send(self._topic, letter.value, letter.key, letter.headers))
