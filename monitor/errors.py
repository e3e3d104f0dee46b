"""The root of the monitor's error tree."""


class MonitorError(Exception):
    """Something the monitor itself has to say: its text is fit to be shown to an operator without a traceback."""


class ServiceUnavailable(MonitorError):
    """A service that the daemon depends on did not answer, or refused: the caller may wait and try again."""


class AddressInUseError(MonitorError):
    """The address that the HTTP port should listen on is taken, or may not be bound to."""
