"""What a dead letter holds of its message, and what it never does."""

import json

import pytest

from consumers.dead_letters import (
    DETAIL_HEADER,
    DIGEST_HEADER,
    PAYLOAD_HEADER,
    REASON_HEADER,
    SIZE_HEADER,
    cut_letter,
    dead_letter,
)
from consumers.decoding import decode
from consumers.errors import InvalidEvent
from consumers.letter_contents import REPLAY_HEADER, REPLAY_REASON_HEADER, LetterContents
from consumers.messages import Message
from consumers.replayable import replayable
from consumers.settings import DecodingLimits
from monitor.traces.redaction import Redaction, RedactionSettings

SECRET = "carol@example.com"
NOW_MS = 1_790_000_000_000
GOOD = {"trace_id": "t-1", "inputs": {"q": SECRET}, "outputs": f"Dear {SECRET}"}
REDACTED = LetterContents(payload="redacted", redact=Redaction(RedactionSettings(patterns=("email",))).document)
REFERENCE = LetterContents(payload="reference")


def message(value, **changes):
    fields = {"topic": "traces", "partition": 1, "offset": 7, "timestamp_ms": NOW_MS, "key": SECRET.encode()}
    headers = (("authorization", SECRET.encode()), ("content-type", b"tracewatch+json"))
    return Message(**(fields | {"value": value, "headers": headers} | changes))


def deep(depth):
    return json.dumps(GOOD).replace('{"q"', '{"d": ' + "[" * depth + "]" * depth + ', "q"').encode()


MALFORMED = [
    json.dumps({**GOOD, "trace_id": 5}).encode(),
    json.dumps({**GOOD, "status": SECRET}).encode(),
    json.dumps({**GOOD, "inputs": SECRET}).encode(),
    json.dumps({**GOOD, "tags": {SECRET + "\0": "x"}}).encode(),
    json.dumps({**GOOD, "tags": {SECRET: 5}}).encode(),
    json.dumps({**GOOD, "tags": {SECRET + " " * 400: "x"}}).encode(),
    json.dumps({**GOOD, "name": SECRET + "\0"}).encode(),
    json.dumps({**GOOD, "trace_id": SECRET + " " * 400}).encode(),
    json.dumps({**GOOD, "duration_ms": -1}).encode(),
    json.dumps({**GOOD, "timestamp_ms": NOW_MS * 2}).encode(),
    json.dumps({**GOOD, "outputs": [float("nan"), SECRET]}).encode(),
    json.dumps({key: value for key, value in GOOD.items() if key != "outputs"}).encode(),
    json.dumps(GOOD).encode()[:-3],
    json.dumps(GOOD).replace("@", "\\u0040").encode()[:-3],
    json.dumps({"x": f"line\n{SECRET}"}).encode()[:-1],
    SECRET.encode(),
    b'{"trace_id": "' + SECRET.encode() + b'", "trace_id": "\\u0063arol\\u0040example.com", "a": 1}',
    b"\xff" + SECRET.encode(),
    deep(100),
    deep(100_000),
]


def letters_of(value, contents, **changes):
    """The letter as the daemon makes it, from what the decoder says."""
    sent = message(value, **changes)
    with pytest.raises(InvalidEvent) as invalid:
        decode(sent, "tracewatch+json", DecodingLimits(), NOW_MS)
    return dead_letter(sent, invalid.value.reason, invalid.value.detail, contents)


@pytest.mark.parametrize("contents", [REDACTED, REFERENCE], ids=["redacted", "reference"])
@pytest.mark.parametrize("value", MALFORMED, ids=range(len(MALFORMED)))
def test_no_letter_but_a_raw_one_holds_what_is_redacted(value, contents):
    """Neither value, key, headers nor detail, whatever is wrong with the message and wherever the secret stands."""
    letter = letters_of(value, contents)
    everything = repr(letter).replace("\\u0040", "@").replace("\\u0063", "c")
    assert "carol" not in everything
    assert "example.com" not in everything
    assert letter.header(SIZE_HEADER) == str(len(value)).encode()
    assert len(letter.header(DIGEST_HEADER)) == 64


@pytest.mark.parametrize("contents", [REDACTED, REFERENCE], ids=["redacted", "reference"])
def test_a_format_that_quotes_the_message_is_not_told(contents):
    """The details of these reasons hold the producer's own words."""
    quoting = (("content-type", b"otlp+json"),)
    letter = letters_of(b"{}", contents, headers=quoting)
    assert (letter.header(REASON_HEADER), letter.header(DETAIL_HEADER)) == (b"unknown_format", None)
    trace = {"info": {"trace_id": "t", "request_time": SECRET, "state": SECRET}, "data": {"spans": []}}
    letter = letters_of(json.dumps(trace).encode(), contents, headers=(("content-type", b"mlflow+json"),))
    assert SECRET not in repr(letter)


def test_a_redacted_letter_keeps_the_text_around_the_secret_and_what_decoding_needs():
    """It can be read by a person, and replayed where the stream has lost the original."""
    evaluated = (("baggage", b"user=carol,tracewatch-evaluation=run"), ("content-type", b"tracewatch+json"))
    letter = letters_of(json.dumps({**GOOD, "outputs": float("nan")}).encode(), REDACTED, headers=evaluated)
    assert json.loads(letter.value)["inputs"] == {"q": "[email]"}
    assert letter.header(PAYLOAD_HEADER) == b"redacted"
    assert letter.header("content-type") == b"tracewatch+json"
    assert letter.header("tracewatch-evaluation") == b""
    assert letter.header("baggage") is None
    assert letter.header(DETAIL_HEADER) == b"NaN is not a JSON number"


def test_bytes_that_are_no_text_are_told_by_size_and_hash_alone():
    """Nothing can be redacted in them."""
    letter = letters_of(b"\xff\xfe secret", REDACTED, key=b"\xff")
    assert letter.value is None
    assert {name for name, _ in letter.headers} == {
        "content-type",
        REASON_HEADER,
        DETAIL_HEADER,
        PAYLOAD_HEADER,
        SIZE_HEADER,
        DIGEST_HEADER,
    }


def test_a_reference_has_nothing_of_the_message_but_the_mark_of_a_replay():
    """A mark of any other form than ours is a stranger's text."""
    marked = ((REPLAY_HEADER, b"traces[0]@12"), (REPLAY_REASON_HEADER, b"too_large"), ("h", b"v"))
    letter = letters_of(b"{}", REFERENCE, headers=marked)
    assert letter.value is None
    own = {REASON_HEADER, DETAIL_HEADER, PAYLOAD_HEADER, SIZE_HEADER, DIGEST_HEADER}
    assert {name for name, _ in letter.headers} == {REPLAY_HEADER, REPLAY_REASON_HEADER, *own}
    forged = ((REPLAY_HEADER, b"my secret"), (REPLAY_REASON_HEADER, b"Another secret"))
    assert "secret" not in repr(letters_of(b"{}", REFERENCE, headers=forged))


def test_a_cut_letter_says_what_the_original_was():
    """Size and hash are those of the whole message, whatever the letter holds of it."""
    original = Message(topic="t", partition=0, offset=0, timestamp_ms=0, key=b"k", value=b"x" * 1000)
    for contents in (LetterContents(), LetterContents(payload="redacted", redact=lambda value: value)):
        made = cut_letter(dead_letter(original, "too_large", "", contents), original, 10)
        place = {"topic": "d", "partition": 0, "offset": 0, "timestamp_ms": 0}
        read = replayable(Message(**place, key=made.key, value=made.value, headers=made.headers))
        assert (read.kept, read.size, read.message.value) == ("cut", 1000, b"x" * 10)
        assert read.is_original(original)
