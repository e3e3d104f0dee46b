"""What this package raises on purpose."""

from monitor.errors import MonitorError, ServiceUnavailable


class DatasetStoreUnavailable(ServiceUnavailable):
    """The dataset store does not answer, or refuses us: wait and try again."""


class DatasetRejected(MonitorError):  # noqa: N818 - named for what happened to the records
    """The dataset store is well and will never take this."""
