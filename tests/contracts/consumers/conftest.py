"""The same stream twice: in memory, and on a real broker."""

import pytest

from consumers.kafka_dead_letters import KafkaDeadLetters
from consumers.kafka_producer import ReliableProducer
from consumers.kafka_source import KafkaSource
from consumers.memory_source import MemoryDeadLetters, MemorySource, MemoryTopic
from consumers.settings import SourceSettings


@pytest.fixture
def settings(kafka, topic):
    """Where the fresh topic is; short timeouts, so that members notice each other soon."""
    return SourceSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic=topic,
        group_id=f"group-{topic}",
        session_timeout="6s",
        heartbeat_interval="100ms",
        max_poll_records=10,
    )


class MemoryStream:
    """A topic in memory."""

    def __init__(self) -> None:
        self.topic = MemoryTopic()
        self.name = self.topic.name

    def member(self):
        """A new member of the group."""
        return MemorySource(self.topic, max_poll_records=10)

    def publish(self, values, partition):
        """Put values on one partition."""
        for value in values:
            self.topic.append(value, partition=partition, key=b"k", headers=(("h", b"1"),))

    def delete_before(self, partition, offset):
        """Play retention."""
        self.topic.first[partition] = offset


class KafkaStream:
    """A topic on the real broker."""

    def __init__(self, settings) -> None:
        self.settings = settings
        self.name = settings.topic

    def member(self):
        """A new member of the group."""
        return KafkaSource(self.settings)

    def publish(self, values, partition):
        """Put values on one partition."""
        from kafka import KafkaProducer

        producer = KafkaProducer(**self.settings.connection())
        for value in values:
            producer.send(self.name, value, key=b"k", headers=[("h", b"1")], partition=partition)
        producer.flush()
        producer.close()

    def delete_before(self, partition, offset):
        """Let the broker delete records, as retention does."""
        from kafka import KafkaAdminClient, TopicPartition

        admin = KafkaAdminClient(**self.settings.connection())
        admin.delete_records({TopicPartition(self.name, partition): offset})
        admin.close()


@pytest.fixture(params=["memory", "kafka"])
def stream(request):
    """A topic of three partitions."""
    return MemoryStream() if request.param == "memory" else KafkaStream(request.getfixturevalue("settings"))


@pytest.fixture
def members(stream):
    """Starts members of the group, and closes them."""
    started = []

    def start():
        source = stream.member()
        source.start()
        started.append(source)
        return source

    yield start
    for source in started:
        source.close()


@pytest.fixture(params=["memory", "kafka"])
def dead_letters(request):
    """A dead-letter queue, and how to read what is in it: (key, value, headers) of each letter."""
    if request.param == "memory":
        queue = MemoryDeadLetters()
        yield queue, lambda: [(letter.key, letter.value, letter.headers) for letter in queue.letters]
        return
    settings = request.getfixturevalue("settings")
    request.getfixturevalue("kafka").create_topic(settings.dead_letters, 1)
    queue = KafkaDeadLetters(settings)
    yield queue, lambda: _letters(settings)
    queue.close()


def _letters(settings):
    reader = KafkaSource(settings.model_copy(update={"topic": settings.dead_letters, "dead_letter_topic": None}))
    reader.start()
    found = []
    for _ in range(300):
        found.extend(reader.poll(0.2).messages)
        if found and not sum(reader.lag().values()):
            break
    reader.close()
    return [(message.key, message.value, message.headers) for message in found]


@pytest.fixture
def producer(settings):
    """A producer on the real broker."""
    made = ReliableProducer(settings)
    yield made
    made.close()
