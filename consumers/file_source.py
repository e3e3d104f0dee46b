"""A file of one event a line as a stream of one partition; the offset of a line is its number, from 0."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from consumers.errors import SourceUnavailable
from consumers.messages import Message, TopicPartition
from consumers.source import PolledBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class FileSource:
    """A `TraceSource` on a JSONL file. It follows a file that grows; a line counts once it ends.

    The position belongs to the ledger: `committed` knows only this process's own commits. The timestamp of a message is
    the file's time of change.
    """

    def __init__(self, path: Path, *, max_poll_records: int = 500) -> None:
        self._path = path
        self._tp = TopicPartition(str(path), 0)
        self._max_poll_records = max_poll_records
        self._file: BinaryIO | None = None
        self._line = 0
        self._reported = False
        self._paused = False
        self._commits: dict[TopicPartition, int] = {}
        self._idle = threading.Event()

    def start(self) -> None:
        """Open the file. Raises `SourceUnavailable` when that is impossible."""
        self.close()
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise SourceUnavailable(f"{self._path}: {error.strerror}") from error

    def poll(self, timeout_s: float) -> PolledBatch:
        """The next lines; at the end of the file it waits `timeout_s` seconds for more."""
        if not self._reported:
            self._opened()
            self._reported = True
            return PolledBatch(assigned=(self._tp,))
        messages = self._read()
        if not messages:
            self._idle.wait(timeout_s)
            messages = self._read()
        return PolledBatch(messages=messages)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on from line `offset`."""
        if tp != self._tp:
            return
        opened = self._opened()
        opened.seek(0)
        self._line = 0
        while self._line < offset and opened.readline().endswith(b"\n"):
            self._line += 1

    def release(self, tps: Iterable[TopicPartition]) -> None:
        """Nobody else wants the file."""

    def committed(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """What this process has committed."""
        return {tp: self._commits[tp] for tp in tps if tp in self._commits}

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remember the offset for as long as the process lives."""
        self._commits.update({tp: at for tp, at in offsets.items() if tp == self._tp})

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Read no lines."""
        self._paused = self._paused or self._tp in set(tps)

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """Read lines again."""
        self._paused = self._paused and self._tp not in set(tps)

    def bounds(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """First line and the number of lines."""
        return {tp: (0, self._count()) for tp in tps if tp == self._tp}

    def lag(self) -> Mapping[TopicPartition, int]:
        """Lines not yet read; counts the file's lines."""
        return {self._tp: max(0, self._count() - self._line)} if self._file is not None else {}

    def probe(self) -> None:
        """Raises `SourceUnavailable` when the file is gone."""
        if not self._path.is_file():
            raise SourceUnavailable(f"{self._path}: no such file")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._line, self._reported, self._paused = None, 0, False, False

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise SourceUnavailable(f"{self._path}: not started")
        return self._file

    def _count(self) -> int:
        try:
            with self._path.open("rb") as lines:
                return sum(1 for line in lines if line.endswith(b"\n"))
        except OSError as error:
            raise SourceUnavailable(f"{self._path}: {error.strerror}") from error

    def _read(self) -> tuple[Message, ...]:
        if self._paused:
            return ()
        opened = self._opened()
        messages: list[Message] = []
        changed_ms = int(self._path.stat().st_mtime * 1000)
        while len(messages) < self._max_poll_records:
            start, line = opened.tell(), opened.readline()
            if not line.endswith(b"\n"):
                opened.seek(start)
                break
            messages.append(
                Message(
                    topic=self._tp.topic,
                    partition=0,
                    offset=self._line,
                    timestamp_ms=changed_ms,
                    key=None,
                    value=line.rstrip(b"\r\n"),
                )
            )
            self._line += 1
        return tuple(messages)
