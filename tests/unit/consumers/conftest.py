"""One real broker for these tests, and events to put on it."""

import json
from typing import Any

import pytest

from consumers.messages import Message


def event(**changes: Any) -> dict[str, Any]:
    """A complete `tracewatch+json` event; a change to `...` leaves the field out."""
    fields = {
        "trace_id": "order-17",
        "name": "sales_email",
        "timestamp_ms": 1_700_000_000_000,
        "duration_ms": 1234.5,
        "status": "OK",
        "inputs": {"question": "Where is my order?"},
        "outputs": {"answer": "In Graz."},
        "retrieved": [{"page_content": "Order 17 is in Graz.", "doc_uri": "crm://17"}],
        "app_version": "v1",
        "session_id": "s-1",
        "tags": {"tenant": "acme"},
        "expectations": {"expected_response": "It is in Graz."},
    } | changes
    return {key: value for key, value in fields.items() if value is not ...}


def message(value: bytes | dict[str, Any] | None, **changes: Any) -> Message:
    """A message with this value."""
    fields: dict[str, Any] = {
        "topic": "traces",
        "partition": 0,
        "offset": 7,
        "timestamp_ms": 1_700_000_000_500,
        "key": b"k",
        "value": json.dumps(value).encode() if isinstance(value, dict) else value,
        "headers": (),
    }
    return Message(**(fields | changes))


@pytest.fixture
def make_event():
    """The builder of events."""
    return event


@pytest.fixture
def make_message():
    """The builder of messages."""
    return message
