"""What every `DeadLetterQueue` promises, in memory and on Kafka alike."""

import json

from consumers.dead_letters import DETAIL_HEADER, KEY_HEADER, REASON_HEADER
from consumers.messages import Message


def _message(**changes):
    fields = {
        "topic": "traces",
        "partition": 2,
        "offset": 41,
        "timestamp_ms": 1,
        "key": b"\xffkey",
        "value": b"\xff\x00not json",
        "headers": (("trace", b"\xfe"), ("trace", b"again")),
    }
    return Message(**(fields | changes))


def test_a_letter_has_the_original_bytes_key_and_headers_and_the_reason(dead_letters):
    """Nothing of the message is lost, and its place in the stream is the letter's key."""
    queue, letters = dead_letters
    queue.send(_message(), "not_utf8", "invalid start byte \u20ac")
    queue.flush()
    [(key, value, headers)] = letters()
    assert json.loads(key) == ["traces", 2, 41]
    assert value == b"\xff\x00not json"
    assert headers[:2] == (("trace", b"\xfe"), ("trace", b"again"))
    assert dict(headers[2:]) == {
        REASON_HEADER: b"not_utf8",
        DETAIL_HEADER: "invalid start byte \u20ac".encode(),
        KEY_HEADER: b"\xffkey",
    }


def test_a_tombstone_without_a_key_stays_one(dead_letters):
    """No value and no key are not the same as empty ones."""
    queue, letters = dead_letters
    queue.send(_message(value=None, key=None, headers=()), "empty", "no value")
    [(_, value, headers)] = letters()
    assert value is None
    assert KEY_HEADER not in dict(headers)


def test_the_same_message_twice_has_the_same_key(dead_letters):
    """Dead letters are at-least-once: the key tells a repeat from another message."""
    queue, letters = dead_letters
    for message in (_message(), _message(), _message(offset=42)):
        queue.send(message, "not_json", "x")
    keys = [key for key, _, _ in letters()]
    assert keys[0] == keys[1] != keys[2]
