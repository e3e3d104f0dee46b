"""What this package raises on purpose."""

from monitor.errors import MonitorError, ServiceUnavailable


class TraceStoreUnavailable(ServiceUnavailable):
    """The trace store does not answer, or refuses us: wait and try again."""


class TraceRejected(MonitorError):
    """The trace store is well and will never take this trace or assessment."""
