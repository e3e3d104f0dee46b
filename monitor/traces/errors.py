"""What this package raises on purpose."""

from monitor.errors import MonitorError, ServiceUnavailable


class TraceStoreUnavailable(ServiceUnavailable):
    """The trace store does not answer, or refuses us: wait and try again."""


class TraceStoreFailing(TraceStoreUnavailable):
    """The trace store's server answers with an error of its own: it is in trouble, or cannot cope with this trace."""


class TraceRejected(MonitorError):
    """The trace store is well and will never take this trace or assessment."""
