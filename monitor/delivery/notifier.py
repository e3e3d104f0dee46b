"""What delivery asks of a receiver, and the form of it that is in memory."""

import threading
from typing import Protocol

from monitor.delivery.errors import DeliveryFailed
from monitor.delivery.message import Message


class Notifier(Protocol):
    """A receiver of messages. One thread at a time uses it."""

    def tell(self, message: Message, now_ms: int) -> None:
        """Return once the receiver has accepted the message; one that it has had already changes nothing new.

        Raises:
            DeliveryFailed: it has not, or nobody knows.
        """
        ...

    def probe(self) -> str:
        """Ask the receiver for a sign of life without telling it anything; returns in words what answered.

        Raises:
            DeliveryFailed: there is none.
        """
        ...


class MemoryNotifier:
    """Keeps what it is told, by the message's id; fails while `trouble` is set. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.trouble: DeliveryFailed | None = None
        self.told: list[Message] = []

    def tell(self, message: Message, now_ms: int) -> None:
        """Keep the message.

        Raises:
            DeliveryFailed: `trouble`.
        """
        del now_ms
        with self._lock:
            if self.trouble is not None:
                raise self.trouble
            self.told.append(message)

    def probe(self) -> str:
        """Say that it is there.

        Raises:
            DeliveryFailed: `trouble`.
        """
        if self.trouble is not None:
            raise self.trouble
        return "memory"
