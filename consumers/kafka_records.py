"""Kafka's records as messages."""

from typing import Any

from consumers.messages import Message


def message_of(record: Any) -> Message:
    """The message of a consumer's record."""
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=max(0, record.timestamp),
        key=record.key,
        value=record.value,
        headers=tuple((name, value or b"") for name, value in record.headers),
    )
