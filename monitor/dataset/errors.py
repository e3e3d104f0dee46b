"""What this package raises on purpose."""

from monitor.errors import MonitorError, ServiceUnavailable


class DatasetStoreUnavailable(ServiceUnavailable):
    """The dataset store does not answer, or refuses us: wait and try again."""


class DatasetRejected(MonitorError):
    """The dataset store is well and will never take this."""
