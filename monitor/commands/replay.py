"""Taking messages in again after a fix: out of a dead-letter topic, an archive, or a span of time of the stream."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from consumers.archive_file import read_archive
from consumers.errors import InvalidEvent
from consumers.events import Event, FeedbackEvent, TraceEvent
from consumers.kafka_archive import read_positions, read_topic
from consumers.kafka_producer import chunks_of
from consumers.kafka_publish import CHUNK, BatchPublisher, Outgoing
from consumers.messages import Message, Position
from consumers.replayable import Replayable, replayable
from consumers.settings import SourceSettings
from monitor.errors import MonitorError

Outcome = Literal["sent", "still_invalid", "failed_again", "replayed_before", "repeated", "not_ours", "gone"]
MESSAGE = "no dead letter"
_GONE_SHOWN = 1000


class ReplayRefused(MonitorError):
    """What is asked for cannot be replayed; the text says why and what can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which messages to take in again.

    Attributes:
        reasons: dead letters with these reasons; all where empty.
        since_ms: those found at this time or later: of a letter its own time, not the original's.
        until_ms: those found before.
        limit: the most to send.
        everything: also what still is no trace event, and what was replayed before.
    """

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int | None = None
    everything: bool = False

    def takes(self, found: Replayable) -> bool:
        """Whether this one is asked for."""
        at_ms = found.message.timestamp_ms
        return (
            (not self.reasons or found.reason in self.reasons)
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms < self.until_ms)
        )


@dataclass(kw_only=True, slots=True)
class ReplaySummary:
    """What became of the messages: (reason, outcome) -> how many, and the new reasons of those still invalid.

    `gone` are the positions of originals that the stream no longer has; `redacted` is how many were sent as the
    redacted text of their letters, because of that.
    """

    source: str
    topic: str
    dry_run: bool
    outcomes: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    still_invalid: Counter[str] = field(default_factory=Counter)
    gone: list[str] = field(default_factory=list)
    redacted: int = 0

    @property
    def sent(self) -> int:
        """How many were sent; in a dry run, how many would be."""
        return sum(count for (_, outcome), count in self.outcomes.items() if outcome == "sent")

    def as_json(self) -> dict[str, Any]:
        """One object for programs."""
        by_reason: dict[str, dict[str, int]] = {}
        for (reason, outcome), count in sorted(self.outcomes.items()):
            by_reason.setdefault(reason, {})[outcome] = count
        return {
            "source": self.source,
            "topic": self.topic,
            "dry_run": self.dry_run,
            "found": self.outcomes.total(),
            "sent": self.sent,
            "by_reason": by_reason,
            "still_invalid": dict(sorted(self.still_invalid.items())),
            "sent_as_redacted_text": self.redacted,
            "gone": self.gone,
        }


def messages_of(settings: SourceSettings, source: str, wanted: Wanted) -> Iterator[Message]:
    """The messages of a topic (of a time, if one is asked for) or of an archive, as they stand there.

    Raises:
        SourceUnavailable: Kafka is away, or has no such topic.
        NotAnArchive: the file is none.
        ReplayRefused: the whole of the stream's own topic, or a stream that is a file.
    """
    if settings.kind != "kafka":
        raise ReplayRefused(f"`source.kind` must be kafka, not {settings.kind}: the events of a file stay in the file")
    if Path(source).is_file():
        return _lines_of(Path(source))
    if source == settings.topic and wanted.since_ms is None:
        raise ReplayRefused(f"{source} is the stream itself: say from when on it is to be taken in again, with --since")
    return read_topic(settings, source, since_ms=wanted.since_ms, until_ms=wanted.until_ms)


def _lines_of(path: Path) -> Iterator[Message]:
    with path.open("rb") as lines:
        yield from read_archive(lines, str(path))


class Replay:
    """One replay. `summary` is true at every moment, also after an error."""

    def __init__(
        self,
        settings: SourceSettings,
        decode: Callable[[Message], Event],
        is_ours: Callable[[TraceEvent], bool],
        wanted: Wanted,
        summary: ReplaySummary,
    ) -> None:
        self._settings = settings
        self._decode = decode
        self._is_ours = is_ours
        self._wanted = wanted
        self._seen: set[Position] = set()
        self.summary = summary

    def run(self, messages: Iterable[Message], progress: Callable[[int], None] = lambda _found: None) -> None:
        """Decide about each message and send those that are to be taken in again, many at a time.

        Raises:
            SourceUnavailable: Kafka is away; of the last 500 any may or may not have been sent. Doing it again is safe.
            MessageRefused: the topic does not take a message of that size.
        """
        wanted = (each for each in map(replayable, messages) if self._wanted.takes(each))
        with ExitStack() as stack:
            publisher = None if self.summary.dry_run else stack.enter_context(BatchPublisher(self._settings))
            for batch in chunks_of(wanted, CHUNK, lambda each: len(each.message.value or b"")):
                sending = self._decided(batch)
                if publisher is not None:
                    publisher.publish([_outgoing(each) for each in sending])
                self.summary.outcomes.update((each.reason or MESSAGE, "sent") for each in sending)
                progress(self.summary.outcomes.total())
                if self._is_enough(0):
                    break

    def _decided(self, batch: Sequence[Replayable]) -> list[Replayable]:
        """Those to send; what becomes of the others is noted."""
        missing = [each.position for each in batch if each.kept != "whole"]
        originals = read_positions(self._settings, missing) if missing else {}
        sending: list[Replayable] = []
        for each in batch:
            if self._is_enough(len(sending)):
                break
            whole = _completed(each, originals.get(each.position))
            outcome = self._outcome(whole)
            if outcome == "sent":
                sending.append(whole)
                self.summary.redacted += whole.kept == "redacted"
            else:
                self.summary.outcomes[each.reason or MESSAGE, outcome] += 1
        return sending

    def _is_enough(self, more: int) -> bool:
        return self._wanted.limit is not None and self.summary.sent + more >= self._wanted.limit

    def _outcome(self, found: Replayable) -> Outcome:
        # Letters are delivered at least once; a stretch of the stream has each position once.
        if found.reason is not None:
            if found.position in self._seen:
                return "repeated"
            self._seen.add(found.position)
        if found.kept in ("reference", "cut") or (found.kept == "redacted" and found.message.value is None):
            if len(self.summary.gone) < _GONE_SHOWN:
                self.summary.gone.append(str(found.position))
            return "gone"
        if not self._wanted.everything:
            if found.failed_again:
                return "failed_again"
            if found.reason is None and found.was_replayed:
                return "replayed_before"
        return self._outcome_of_decoding(found.message)

    def _outcome_of_decoding(self, message: Message) -> Outcome:
        try:
            event = self._decode(message)
            if isinstance(event, FeedbackEvent):
                # Whose trace it is about the ledger knows, when it comes.
                return "sent"
            ours = self._is_ours(event)
            # Some of what is wrong shows only when the spans are read.
            event.payload.trace()
        except InvalidEvent as invalid:
            self.summary.still_invalid[invalid.reason] += 1
            return "sent" if self._wanted.everything else "still_invalid"
        return "sent" if ours else "not_ours"


def _completed(found: Replayable, original: Message | None) -> Replayable:
    if original is not None and found.is_original(original):
        return found.with_original(original)
    return found


def _outgoing(found: Replayable) -> Outgoing:
    value, key, headers = found.again()
    return Outgoing(value=value, key=key, headers=headers)
