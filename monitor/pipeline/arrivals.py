"""Messages that were polled and are not begun: each partition's in its order, the partitions in turn."""

from collections import deque
from collections.abc import Iterable

from consumers.messages import Message, TopicPartition

_OBJECT_BYTES = 300


def size_of(message: Message) -> int:
    """About how many bytes a message takes in memory."""
    headers = sum(len(name) + len(value) for name, value in message.headers)
    return _OBJECT_BYTES + len(message.value or b"") + len(message.key or b"") + headers


class Arrivals:
    """A queue for each partition. One partition's crowd does not keep the others waiting."""

    def __init__(self) -> None:
        self._queues: dict[TopicPartition, deque[Message]] = {}
        self.events = 0
        """Messages that wait."""
        self.size = 0
        """Bytes of what waits."""

    def add(self, messages: Iterable[Message]) -> None:
        """Queue messages behind those of their partitions."""
        for message in messages:
            self._queues.setdefault(message.topic_partition, deque()).append(message)
            self.events += 1
            self.size += size_of(message)

    def peek(self) -> Message | None:
        """The next message in turn, which stays until `pop`; None when nothing waits."""
        for queue in self._queues.values():
            return queue[0]
        return None

    def pop(self) -> None:
        """Remove what `peek` showed; then it is the next partition's turn."""
        partition = next(iter(self._queues))
        queue = self._queues.pop(partition)
        message = queue.popleft()
        if queue:
            self._queues[partition] = queue
        self.events -= 1
        self.size -= size_of(message)

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget messages that come again, here or elsewhere."""
        for partition in partitions:
            for message in self._queues.pop(partition, ()):
                self.events -= 1
                self.size -= size_of(message)
