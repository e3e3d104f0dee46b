"""One daemon a SQLite file: a lock of the operating system beside it, which ends with the process, even on kill -9.

Not for network file systems, on which SQLite's own locks do not hold either. Commands work beside the daemon: SQLite's
locks are enough for them.
"""

import fcntl
import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from monitor.ledger.database import address_of
from monitor.ledger.errors import LedgerInUse, LedgerUnavailable

_LONGEST_NOTE = 4096


class FileLock:
    """The lock on the file of a SQLite ledger, as a context manager. For any other database it does nothing.

    Raises:
        LedgerAddressError: the URL names no database that the ledger can live in.
        LedgerInUse: another daemon holds it; the error says which.
        LedgerUnavailable: its file cannot be opened.
    """

    def __init__(self, url: str) -> None:
        file = _file_of(url)
        self._descriptor = None if file is None else _locked(file)

    def release(self) -> None:
        """Give the lock up. The lock's file stays: who deletes it lets two daemons lock two files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        """Hold it for the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give it up."""
        self.release()


def _file_of(url: str) -> Path | None:
    address = address_of(url)
    name = address.database
    if address.get_backend_name() != "sqlite" or name in {None, "", ":memory:"} or name is None:
        return None
    # Two names of one file are one ledger.
    return Path(os.path.realpath(name.removeprefix("file:")))


def _locked(file: Path) -> int:
    lock = file.with_name(f"{file.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LedgerUnavailable(f"{lock}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = _holder(descriptor)
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise LedgerInUse(
                f"the ledger {file} is in use by {holder}: a SQLite ledger serves one daemon. Stop that one, give this "
                "one a ledger of its own, or use PostgreSQL for replicas"
            ) from error
        raise LedgerUnavailable(f"{lock}: {error.strerror}") from error
    # Who holds the lock is a courtesy: a full disk keeps nobody from holding it.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, _note())
    return descriptor


def _note() -> bytes:
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}).encode()


def _holder(descriptor: int) -> str:
    try:
        note = json.loads(os.pread(descriptor, _LONGEST_NOTE, 0))
        return f"another daemon (process {note['pid']} on {note['host']}, since {note['since']})"
    except (OSError, ValueError, LookupError, TypeError):
        return "another daemon"
