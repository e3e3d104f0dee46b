"""A file of messages, one JSON object a line, from which they can be taken in again byte for byte.

A line: `{"topic": str, "partition": int, "offset": int, "timestamp_ms": int, "key_base64": str | null,
"headers": [[name, base64], ...], "value_base64": str | null}`. Only `value_base64` is required; where the position is
left out it is the file and the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from consumers.errors import ConsumersError
from consumers.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class NotAnArchive(ConsumersError):
    """A line of the file is not what an archive's line should be."""


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes are base64 in JSON."""

    value: bytes | None = msgspec.field(name="value_base64")
    key: bytes | None = msgspec.field(name="key_base64", default=None)
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str | None = None
    partition: int = 0
    offset: int | None = None
    timestamp_ms: int = 0


_DECODER = msgspec.json.Decoder(_Line)


def archive_line(message: Message) -> bytes:
    """The line for a message, without a line end."""
    return msgspec.json.encode(
        _Line(
            value=message.value,
            key=message.key,
            headers=message.headers,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            timestamp_ms=message.timestamp_ms,
        )
    )


def read_archive(lines: Iterable[bytes], name: str) -> Iterator[Message]:
    """The messages in the lines of the file `name`; empty lines are left out.

    Raises:
        NotAnArchive: with the number of the line.
    """
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            found = _DECODER.decode(line)
        except msgspec.MsgspecError as error:
            raise NotAnArchive(
                f"{name}:{number + 1}: no line of an archive ({error}); `tracewatch dead-letters --json` writes "
                "archives, and `tracewatch publish` sends a file of events"
            ) from error
        yield Message(
            topic=name if found.topic is None else found.topic,
            partition=found.partition,
            offset=number if found.offset is None else found.offset,
            timestamp_ms=found.timestamp_ms,
            key=found.key,
            value=found.value,
            headers=found.headers,
        )
