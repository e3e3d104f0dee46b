"""A test's own way to a topic that it shares with something quick to give up."""

from datetime import timedelta

from consumers.settings import SourceSettings

_PATIENCE = timedelta(seconds=60)


def patient(source: SourceSettings) -> SourceSettings:
    """The settings of a client that fails at no slow answer."""
    return source.model_copy(update={"request_timeout": _PATIENCE, "connect_timeout": _PATIENCE})
