"""The source's configuration refuses what cannot work, and hides what is secret."""

import pytest
from pydantic import ValidationError

from consumers.settings import DecodingLimits, SourceSettings


def test_the_defaults_are_those_of_the_documentation():
    """Limits and the dead-letter topic have the documented defaults."""
    limits = DecodingLimits()
    assert (limits.event_bytes, limits.trace_id_chars, limits.depth, limits.future.total_seconds()) == (
        1048576,
        256,
        64,
        600,
    )
    assert SourceSettings(topic="t").dead_letters == "t.dead-letter"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"kind": "file"}, "path"),
        ({"format": "yaml"}, "tracewatch\\+json"),
        ({"topic": "a b"}, "topic"),
        ({"topic": "t", "dead_letter_topic": "t"}, "dead_letter_topic"),
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "sasl_oauth"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512"}, "sasl_plain_password"),
        ({"session_timeout": "1s"}, "heartbeat_interval"),
        ({"session_timeout": "soon"}, "session_timeout"),
        ({"unknown": 1}, "unknown"),
        ({"limits": {"depth": 0}}, "depth"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_by_name(fields, named):
    """The message names the key."""
    with pytest.raises(ValidationError, match=named):
        SourceSettings(**fields)


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("15m", 900), ("24h", 86400), ("30d", 2592000)]
)
def test_durations_are_written_as_people_write_them(text, seconds):
    """Number and unit."""
    assert DecodingLimits(future=text).future.total_seconds() == seconds


def test_a_password_is_not_shown():
    """Settings are logged and printed; only the client's options have the password in the clear."""
    settings = SourceSettings(
        security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_plain_username="a", sasl_plain_password="hush"
    )
    assert "hush" not in repr(settings) + settings.model_dump_json()
    assert settings.connection()["sasl_plain_password"] == "hush"
