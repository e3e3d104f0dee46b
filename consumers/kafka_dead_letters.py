"""Dead letters in a Kafka topic of their own."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from consumers.dead_letters import DeadLetter, cut_letter, dead_letter
from consumers.errors import MessageRefused, SourceUnavailable
from consumers.kafka_producer import ReliableProducer
from consumers.kafka_topics import create_topic, describe_topic
from consumers.letter_contents import RAW, LetterContents

if TYPE_CHECKING:
    from consumers.messages import Message
    from consumers.settings import SourceSettings

_KEPT_BYTES = 256 * 1024
_REFERENCE = LetterContents(payload="reference")


class KafkaDeadLetters:
    """A `DeadLetterQueue` on `settings.dead_letters`, which is created at the first letter if it is missing.

    Threads may share it: one letter is on its way at a time.
    """

    def __init__(self, settings: SourceSettings, contents: LetterContents = RAW) -> None:
        self._contents = contents
        self._topic = settings.dead_letters
        self._connection = settings.connection()
        self._topic_is_there = False
        self._sending = threading.Lock()
        self._producer = ReliableProducer(settings)

    def send(self, message: Message, reason: str, detail: str) -> None:
        """Return once every in-sync replica has the letter.

        What the topic refuses as too large is cut to its first 256 KiB, with its true size in a header, and where that
        is too large as well only its place in the stream is kept: such a message must not stop its partition.

        Raises:
            SourceUnavailable: not acknowledged within the request timeout; it may have been written all the same. Or
                the topic is missing and the cluster refuses to create it.
            MessageRefused: the topic does not take even that.
        """
        letter = dead_letter(message, reason, detail, self._contents)
        with self._sending:
            self._see_to_the_topic()
            with contextlib.suppress(MessageRefused):
                self._deliver(letter)
                return
            if letter.value is not None and len(letter.value) > _KEPT_BYTES:
                with contextlib.suppress(MessageRefused):
                    self._deliver(cut_letter(letter, message, _KEPT_BYTES))
                    return
            self._deliver(dead_letter(message, reason, detail, _REFERENCE))

    def flush(self) -> None:
        """Return once nothing is on its way."""
        self._producer.flush()

    def close(self) -> None:
        """Let go."""
        self._producer.close()

    def _see_to_the_topic(self) -> None:
        if not self._topic_is_there:
            if describe_topic(self._connection, self._topic) is None:
                create_topic(self._connection, self._topic, 1)
            self._topic_is_there = True

    def _deliver(self, letter: DeadLetter) -> None:
        try:
            self._producer.wait(self._producer.send(self._topic, letter.value, letter.key, letter.headers))
        except SourceUnavailable:
            # The topic may have been deleted since it was seen: the next try looks again.
            self._topic_is_there = False
            raise
