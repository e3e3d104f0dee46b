"""Where Kafka's world ends: connecting, failing, and what its errors mean."""

import inspect
import random
import socket
import time

import pytest
from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from consumers.dead_letters import PAYLOAD_HEADER, REASON_HEADER, SIZE_HEADER
from consumers.errors import ConsumersError, SourceFailed, SourceUnavailable
from consumers.kafka_archive import read_topic
from consumers.kafka_connection import translate
from consumers.kafka_dead_letters import KafkaDeadLetters
from consumers.kafka_publish import publish_lines
from consumers.kafka_source import KafkaSource
from consumers.kafka_topics import Topic, create_topic, describe_topic
from consumers.messages import Message
from consumers.settings import SourceSettings


def _kafka_errors():
    return [
        each
        for _, each in inspect.getmembers(kafka_errors, inspect.isclass)
        if issubclass(each, kafka_errors.KafkaError)
    ]


@pytest.mark.parametrize("kind", _kafka_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_library_becomes_one_of_ours(kind):
    """What may pass by itself, and every refusal for lack of rights, means wait; nothing comes through unmapped."""
    ours = translate(kind.__new__(kind))
    assert isinstance(ours, ConsumersError)
    assert str(ours)
    if issubclass(kind, (kafka_errors.RetriableError, kafka_errors.AuthorizationError)):
        assert isinstance(ours, SourceUnavailable)


def test_the_errors_that_mean_a_defect_are_known():
    """A new kind of error in the client library is looked at before it counts as a defect."""
    defects = {kind.__name__ for kind in _kafka_errors() if isinstance(translate(kind.__new__(kind)), SourceFailed)}
    assert {"IllegalStateError", "IllegalArgumentError", "OffsetOutOfRangeError", "InvalidTopicError"} <= defects
    assert len(defects) == 81


def _settings(servers, **changes):
    fields = {"bootstrap_servers": servers, "topic": "traces", "group_id": "g", "connect_timeout": "2s"}
    return SourceSettings(**(fields | {"request_timeout": "2s"} | changes))


def _cause_of_failing_start(settings):
    begin = time.monotonic()
    with pytest.raises(SourceUnavailable) as caught:
        KafkaSource(settings).start()
    assert time.monotonic() - begin < 5
    return caught.value.cause


def _sasl(kafka, password):
    return _settings(
        kafka.sasl_bootstrap_servers,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username="alice",
        sasl_plain_password=password,
    )


def test_a_wrong_password_is_named_as_the_cause_within_seconds(kafka):
    """The client library reports a timeout after 30 s; the cause stands in its log only."""
    cause = _cause_of_failing_start(_sasl(kafka, "wrong"))
    assert "Invalid username or password" in cause
    assert "wrong" not in cause.replace("Invalid", "")


def test_the_right_password_opens(kafka, topic):
    """The same settings with the right password start."""
    source = KafkaSource(_sasl(kafka, "alice-secret").model_copy(update={"topic": topic}))
    source.start()
    source.close()


def test_a_missing_broker_is_named_as_the_cause():
    """Nobody listens: connection refused, with the address."""
    cause = _cause_of_failing_start(_settings("127.0.0.1:1"))
    assert "127.0.0.1:1" in cause
    assert "REFUSED" in cause


def test_an_unknown_host_is_named_as_the_cause():
    """A name that does not resolve."""
    assert "DNS" in _cause_of_failing_start(_settings("no-such-host.invalid:9092"))


def test_tls_to_a_plaintext_listener_is_named_as_the_cause(kafka):
    """The most common of all mistakes."""
    assert "SSL" in _cause_of_failing_start(_settings(kafka.bootstrap_servers, security_protocol="SSL"))


def test_a_listener_that_never_answers_does_not_hang_the_start():
    """A black hole costs the connect timeout, no more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _cause_of_failing_start(_settings(f"127.0.0.1:{silent.getsockname()[1]}"))


def test_a_missing_topic_is_named_as_the_cause(kafka):
    """The daemon waits for the topic instead of consuming nothing for ever."""
    assert "no topic `missing`" in _cause_of_failing_start(_settings(kafka.bootstrap_servers, topic="missing"))


def test_a_failed_start_leaves_no_thread_behind():
    """The daemon tries again for days."""
    import threading

    before = set(threading.enumerate())
    for _ in range(2):
        _cause_of_failing_start(_settings("127.0.0.1:1", connect_timeout="300ms"))
    assert set(threading.enumerate()) <= before


def test_topics_are_created_once_and_described(kafka, topic):
    """Creating again changes nothing; a topic that is not there is None."""
    options = {"bootstrap_servers": kafka.bootstrap_servers}
    create_topic(options, topic, 7)
    assert describe_topic(options, topic) == Topic(name=topic, partitions=3)
    assert describe_topic(options, "missing") is None


def test_published_lines_arrive_byte_for_byte(kafka, topic):
    """Line ends are taken off, nothing else is touched, blank lines are left out."""
    settings = _settings(kafka.bootstrap_servers, topic=topic)
    reported = []
    lines = [b"\xff\x00 raw\n", b"\n", b'{"a": 1}\r\n', b"last"]
    assert publish_lines(settings, lines, reported.append) == 3
    assert reported == [3]
    source, values = KafkaSource(settings), []
    source.start()
    for _ in range(600):
        values += [message.value for message in source.poll(0.1).messages]
        if len(values) == 3:
            break
    source.close()
    assert sorted(values) == sorted([b"\xff\x00 raw", b'{"a": 1}', b"last"])


def test_a_letter_that_is_too_large_for_its_topic_is_cut_and_says_so(kafka, topic):
    """A message that the dead-letter topic refuses must not stop its partition."""
    settings = _settings(kafka.bootstrap_servers, topic=topic, request_timeout="10s")
    kafka.create_topic(settings.dead_letters, 1)
    value = random.Random(1).randbytes(12 * 1024 * 1024)
    queue = KafkaDeadLetters(settings)
    queue.send(
        Message(topic=topic, partition=0, offset=0, timestamp_ms=0, key=None, value=value), "too_large", "12 MiB"
    )
    queue.close()
    reader = KafkaSource(settings.model_copy(update={"topic": settings.dead_letters}))
    reader.start()
    found = []
    for _ in range(600):
        found += reader.poll(0.1).messages
        if found:
            break
    reader.close()
    assert found[0].value == value[: 256 * 1024]
    assert found[0].header(SIZE_HEADER) == str(len(value)).encode()


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (random.Random(1).randbytes(5000), ()),
        (random.Random(2).randbytes(300_000), ()),
        (b"x", (("baggage", random.Random(3).randbytes(5000)),)),
    ],
    ids=["a value", "a long value", "a header"],
)
def test_of_what_its_topic_takes_no_part_of_the_place_in_the_stream_is_kept(kafka, topic, value, headers):
    """A topic for short messages: nothing is lost that can be found again in the topic it came from."""
    settings = _settings(kafka.bootstrap_servers, topic=topic, request_timeout="10s")
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    options = {"num_partitions": 1, "configs": {"max.message.bytes": "1500"}}
    admin.create_topics({settings.dead_letters: options}, wait_for_metadata=True)
    admin.close()
    queue = KafkaDeadLetters(settings)
    message = Message(topic=topic, partition=2, offset=7, timestamp_ms=0, key=b"k", value=value, headers=headers)
    queue.send(message, "not_json", "where it goes wrong")
    queue.close()
    [letter] = read_topic(settings, settings.dead_letters)
    assert (letter.key, letter.value) == (f'["{topic}",2,7]'.encode(), None)
    assert (letter.header(REASON_HEADER), letter.header(SIZE_HEADER)) == (b"not_json", str(len(value)).encode())
    assert letter.header(PAYLOAD_HEADER) == b"reference"


def test_the_librarys_log_is_seen_again_when_the_last_of_several_has_connected():
    """Two connect at once: the first to be done leaves it to the other, and the other does not leave it silent."""
    import logging

    from consumers.kafka_connection import _cause_from_log

    logger = logging.getLogger("kafka")
    first, second = _cause_from_log(), _cause_from_log()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not logger.propagate
    second.__exit__(None, None, None)
    assert logger.propagate
