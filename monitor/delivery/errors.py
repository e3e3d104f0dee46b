"""What can go wrong with the delivery of an alert."""

from monitor.errors import MonitorError


class DeliveryFailed(MonitorError):
    """A receiver did not take a message; the text says why, without secrets.

    `refused`: it will not take this very message and may take others. Otherwise it is the receiver itself that is away
    or will not let us in. `retry_after_s` is what it asks us to wait.
    """

    def __init__(self, words: str, *, refused: bool = False, retry_after_s: float | None = None) -> None:
        self.refused = refused
        self.retry_after_s = retry_after_s
        super().__init__(words)
