"""The version of the running distribution."""

from importlib.metadata import PackageNotFoundError, version


def _installed_version() -> str:
    try:
        return version("tracewatch")
    except PackageNotFoundError:
        # A source tree on the path that nobody installed.
        return "0+unknown"


__version__: str = _installed_version()
