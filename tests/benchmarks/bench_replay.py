"""How many dead letters a second are taken in again: `python tests/benchmarks/bench_replay.py`, on a real broker."""

import json
import tempfile
import time
from functools import partial
from pathlib import Path

from consumers.dead_letters import dead_letter
from consumers.decoding import decode
from consumers.kafka_archive import read_topic
from consumers.kafka_publish import BatchPublisher, Outgoing
from consumers.letter_contents import LetterContents
from consumers.messages import Message
from consumers.settings import SourceSettings
from monitor.commands.replay import Replay, ReplaySummary, Wanted
from monitor.demo.kafka_broker import KafkaBroker

LETTERS = 20_000
TEXT = "word " * 400


def event(number: int) -> bytes:
    """Two kilobytes of event."""
    return json.dumps({"trace_id": f"t-{number}", "inputs": {"n": number}, "outputs": TEXT}).encode()


def fill(settings: SourceSettings, contents: LetterContents) -> None:
    """Put the events into the stream's first partition, and a letter for each into the dead-letter topic."""
    originals, letters = [], []
    for number in range(LETTERS):
        place = {"topic": settings.topic, "partition": 0, "offset": number, "timestamp_ms": 1, "key": b"k"}
        letter = dead_letter(Message(**place, value=event(number)), "too_large", "words", contents)
        originals.append(Outgoing(value=event(number), key=b"k"))
        letters.append(Outgoing(value=letter.value, key=letter.key, headers=letter.headers))
    for topic, messages in ((settings.topic, originals), (settings.dead_letters, letters)):
        with BatchPublisher(settings.model_copy(update={"topic": topic})) as publisher:
            for start in range(0, LETTERS, 500):
                publisher.publish(messages[start : start + 500])


def main() -> None:
    """Time a dry run and a replay, of letters that hold the message and of references."""
    broker = KafkaBroker(Path(tempfile.mkdtemp()))
    broker.start()
    try:
        for contents in (LetterContents(), LetterContents(payload="reference")):
            settings = SourceSettings(bootstrap_servers=broker.bootstrap_servers, topic=f"traces-{contents.payload}")
            broker.create_topic(settings.topic, 1)
            broker.create_topic(settings.dead_letters, 1)
            fill(settings, contents)
            as_event = partial(decode, default_format=settings.format, limits=settings.limits, now_ms=10**13)
            for dry_run in (True, False):
                summary = ReplaySummary(source=settings.dead_letters, topic=settings.topic, dry_run=dry_run)
                began = time.monotonic()
                found = read_topic(settings, settings.dead_letters)
                Replay(settings, as_event, lambda _event: True, Wanted(), summary).run(found)
                took_s = time.monotonic() - began
                what = "dry run" if dry_run else "replay"
                assert summary.sent == LETTERS, summary.outcomes
                print(f"{contents.payload} {what}: {LETTERS / took_s:,.0f} letters/s")
    finally:
        broker.stop()


if __name__ == "__main__":
    main()
