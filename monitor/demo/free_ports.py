"""Loopback ports for servers that are started later."""

import random
import socket
from typing import Final

# Below those that systems give to whoever asks for any port (Linux from 32768): nobody gets one before its server does.
_RANGE: Final = range(15_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, all different.

    Raises:
        OSError: there are not so many.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise OSError(f"fewer than {count} ports are free between {_RANGE.start} and {_RANGE.stop}")


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
