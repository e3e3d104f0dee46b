"""Whether more is taken from the stream, by how much is in hand."""


class Throttle:
    """Closed from the limits on, and open again from half of them down, so that it does not flutter. Pure state."""

    def __init__(self, *, events: int, size: int) -> None:
        self._events = events
        self._size = size
        self._closed = False

    def is_closed(self, *, events: int, size: int) -> bool:
        """Whether nothing more should come, with so many events and bytes in hand."""
        if self._closed:
            self._closed = events > self._events // 2 or size > self._size // 2
        else:
            self._closed = events >= self._events or size >= self._size
        return self._closed
