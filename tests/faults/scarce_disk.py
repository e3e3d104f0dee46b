"""A folder with little room, which a test may use up and give back."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy

_TMPFS_BYTES = 8 * 1024 * 1024
_NO_LIMIT = 2**30


class ScarceDisk(Protocol):
    """`means` says in a word how its room is bounded."""

    folder: Path
    means: str

    def filled(self) -> AbstractContextManager[None]:
        """No room is left for as long as the block takes."""
        ...


@dataclass(frozen=True, slots=True)
class _Tmpfs:
    folder: Path
    means: str = "tmpfs"

    @contextmanager
    def filled(self) -> Iterator[None]:
        """A file takes all that is left."""
        ballast = self.folder / "ballast"
        with ballast.open("wb", buffering=0) as file:
            _fill(file.fileno())
        try:
            yield
        finally:
            ballast.unlink()


def _fill(descriptor: int) -> None:
    for size in (64 * 1024, 4096, 1):
        try:
            while True:
                os.write(descriptor, b"\0" * size)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@dataclass(slots=True)
class _LimitedPages:
    folder: Path
    means: str = "max_page_count"
    most_pages: int = _NO_LIMIT

    @contextmanager
    def filled(self) -> Iterator[None]:
        """SQLite may not let the file grow."""
        self.most_pages = 1  # what the file has already is never taken away
        try:
            yield
        finally:
            self.most_pages = _NO_LIMIT


def small_tmpfs(parent: Path) -> AbstractContextManager[ScarceDisk] | None:
    """A file system of its own of 8 MiB; None where we may not mount one."""
    folder = parent / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={_TMPFS_BYTES}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    return _mounted(folder) if mounted else None


@contextmanager
def _mounted(folder: Path) -> Iterator[ScarceDisk]:
    try:
        yield _Tmpfs(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def limited_pages(parent: Path) -> Iterator[ScarceDisk]:
    """A bound on the size of every SQLite file of this process that lies in the folder."""
    disk = _LimitedPages(parent / "limited")
    disk.folder.mkdir()

    def bound(connection: Any, _record: Any, _proxy: Any) -> None:
        if type(connection).__module__ != "sqlite3":
            return
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        if file and Path(file).is_relative_to(disk.folder):
            connection.execute(f"PRAGMA max_page_count={disk.most_pages}")

    sqlalchemy.event.listen(sqlalchemy.pool.Pool, "checkout", bound)
    try:
        yield disk
    finally:
        sqlalchemy.event.remove(sqlalchemy.pool.Pool, "checkout", bound)
