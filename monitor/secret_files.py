"""Secrets that stand in files: `${file:PATH}` in the configuration. A file that has changed is read again."""

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr


class SecretFile:
    """The text of a file without the line break at its end, read again when the file is another one than before.

    A file that is away or empty for a moment, as in the middle of a rotation, counts as unchanged.
    """

    def __init__(self, path: Path) -> None:
        """Read it for the first time.

        Raises:
            OSError: it cannot be read.
            ValueError: it is empty, or no UTF-8 text.
        """
        self.path = path
        self._seen, self._text = _version(path), _text(path)

    def read(self) -> str:
        """The text as it is now; safe to call from any thread."""
        try:
            version = _version(self.path)
            if version != self._seen:
                # The text first: a thread that sees the new version must not get the old text.
                self._text = _text(self.path)
                self._seen = version
        except (OSError, ValueError):
            return self._text
        return self._text


class FileSecret(SecretStr):
    """A secret whose value is put together anew each time it is asked for, from texts and files.

    Whoever asks for the value when it needs it, and does not keep it, follows a rotation without knowing of files.
    """

    def __init__(self, parts: Sequence[str | SecretFile]) -> None:
        self._parts = tuple(parts)
        super().__init__(self.get_secret_value())

    def get_secret_value(self) -> str:
        """The secret as it is now."""
        return "".join(part if isinstance(part, str) else part.read() for part in self._parts)


def _version(path: Path) -> tuple[int, int, int]:
    # Kubernetes swaps a link, which shows in the inode; an editor writes in place, which shows in time and size.
    state = os.stat(path)  # noqa: PTH116 - one call for all three
    return state.st_mtime_ns, state.st_size, state.st_ino


def _text(path: Path) -> str:
    text = path.read_text(encoding="utf-8").rstrip("\r\n")
    if not text:
        raise ValueError("it is empty")
    return text
