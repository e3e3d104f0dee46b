"""Bad data or a bad deployment: whether messages that are no trace events may be buried, or the daemon must stop.

A few invalid messages are bad data: each becomes a dead letter, and the stream goes on. When nearly all of a stretch
is invalid, the producer or `source.format` has changed, and going on would empty the topic into dead letters.

The rule looks at the last `stop_after` messages that this process has seen, of all partitions. While the share of
invalid ones among them is below `stop_share`, they are buried as they come. From that share on they are held: neither
buried nor past the watermark. Then one of three things happens:

- valid ones bring the share down again: what is held is buried;
- `stop_after` messages have been seen and the share is still that high: the daemon stops. What is held stays unread;
- none has come for `hold`: what is held is buried, since a stretch that has ended on its own empties no topic.

A process that has seen nothing yet has no valid message to show, so it holds from the first invalid one on. That is why
an orchestrator that restarts a stopped daemon again and again does not bury a stretch each time: nothing is buried.

Held messages stay in memory. Above `most_bytes` of them the oldest are buried.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from consumers.messages import Message, TopicPartition
from monitor.errors import MonitorError
from monitor.pipeline.arrivals import size_of

_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Invalid:
    """Why a message is no trace event: `consumers.errors.InvalidEvent` as a value."""

    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """An invalid message that was begun and has to be buried."""

    message: Message
    epoch: int
    invalid: Invalid


@dataclass(slots=True)
class Seen:
    """One message of the window; it can turn out invalid later, when its spans are read."""

    valid: bool = True
    in_window: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A stretch of the stream that is nearly all invalid."""

    seen: int
    invalid: int
    buried: int
    reasons: tuple[tuple[str, int], ...]
    examples: tuple[Letter, ...]


class TooManyInvalid(MonitorError):
    """Nearly all messages of a stretch are no trace events: somebody must look before more is done."""

    def __init__(self, stretch: Stretch) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in stretch.reasons)
        examples = "; ".join(
            f"{each.message.position}: {each.invalid.reason}, {each.invalid.detail}" for each in stretch.examples
        )
        taken_back = (
            f" The {stretch.buried} that became dead letters before can be taken in again with `tracewatch replay`."
            if stretch.buried
            else ""
        )
        super().__init__(
            f"{stretch.invalid} of the last {stretch.seen} messages are no trace events ({reasons}), which is a bad "
            f"deployment and not bad data. Examples: {examples}. Correct `source.format` or the producer and start "
            f"again; what was held back is unread and comes again.{taken_back}"
        )
        self.stretch = stretch


class Quarantine:
    """Decides when invalid messages are buried. Pure state; the times are seconds of one monotonic clock."""

    def __init__(self, *, stop_share: float, stop_after: int, most_bytes: int, hold_s: float) -> None:
        self._stop_share = stop_share
        self._stop_after = stop_after
        self._most_bytes = most_bytes
        self._hold_s = hold_s
        self._window: deque[Seen] = deque()
        self._invalid = 0
        self._held: deque[Letter] = deque()
        self._last_s = 0.0
        self._reasons: Counter[str] = Counter()
        self._buried = 0
        self.size = 0
        """Bytes of what is held."""
        self.stretch: Stretch | None = None
        """The stretch for which the daemon must stop, once there was one."""

    def note_valid(self) -> Seen:
        """A message is a trace event, as far as is known."""
        return self._see(Seen())

    def note_invalid(self, letter: Letter, now_s: float, seen: Seen | None = None) -> None:
        """A message is no trace event; `seen` when it was noted as valid before."""
        if seen is not None and seen.in_window:
            seen.valid = False
        else:
            self._see(Seen(valid=False))
        self._invalid += 1
        self._held.append(letter)
        self.size += size_of(letter.message)
        self._reasons[letter.invalid.reason] += 1
        self._last_s = now_s
        if self.stretch is None and len(self._window) >= self._stop_after and self._is_suspicious():
            self.stretch = self._describe()

    def release(self, now_s: float) -> list[Letter]:
        """What may be buried now, oldest first."""
        if self.stretch is not None:
            return []
        if not self._is_suspicious() or now_s - self._last_s >= self._hold_s:
            return self._take(len(self._held))
        over = 0
        left = self.size
        while left > self._most_bytes:
            left -= size_of(self._held[over].message)
            over += 1
        return self._take(over)

    def take(self, partition: TopicPartition) -> list[Letter]:
        """Everything held of a partition, to be buried whatever is suspected: the stream has it no more."""
        taken = [letter for letter in self._held if letter.message.topic_partition == partition]
        self.forget({partition})
        self._buried += len(taken)
        return taken

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Drop what is held of partitions that are another's, or are begun anew: it comes again."""
        gone = set(partitions)
        if self._held and gone:
            self._held = deque(letter for letter in self._held if letter.message.topic_partition not in gone)
            self.size = sum(size_of(letter.message) for letter in self._held)

    def _see(self, seen: Seen) -> Seen:
        self._window.append(seen)
        if len(self._window) > self._stop_after:
            gone = self._window.popleft()
            gone.in_window = False
            self._invalid -= not gone.valid
        return seen

    def _is_suspicious(self) -> bool:
        return self._invalid >= self._stop_share * len(self._window)

    def _take(self, count: int) -> list[Letter]:
        taken = [self._held.popleft() for _ in range(count)]
        self.size -= sum(size_of(letter.message) for letter in taken)
        self._buried += len(taken)
        return taken

    def _describe(self) -> Stretch:
        return Stretch(
            seen=len(self._window),
            invalid=self._invalid,
            buried=self._buried,
            reasons=tuple(self._reasons.most_common(_EXAMPLES)),
            examples=tuple(self._held)[-_EXAMPLES:],
        )
