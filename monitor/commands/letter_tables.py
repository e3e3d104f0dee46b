"""Dead letters, and what became of those that were taken in again, as text for a terminal."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from consumers.messages import Message
from consumers.replayable import replayable
from monitor.commands.moments import moment_text
from monitor.commands.replay import MESSAGE, Outcome, ReplaySummary

_GONE_SHOWN: Final = 10
_WORDS: Final[Mapping[Outcome, str]] = {
    "sent": "sent",
    "still_invalid": "would be dead letters again: not sent (--all sends them)",
    "failed_again": "replayed before, failed for the same reason: not sent (--all sends them)",
    "replayed_before": "came from a replay themselves: not sent (--all sends them)",
    "repeated": "the same letter once more: not sent",
    "not_ours": "another application's (source.where): not sent",
    "gone": "the letter does not hold the message, nor does the stream any more",
}


def summary_lines(summary: ReplaySummary) -> Iterator[RenderableType]:
    """A table of what became of the messages of each reason, and one line that sums it up."""
    if not summary.outcomes:
        yield Text(f"nothing to replay in {summary.source}")
        return
    words = {**_WORDS, "sent": "would be sent" if summary.dry_run else "sent"}
    table = _table("reason", "messages", "what became of them")
    for (reason, outcome), count in sorted(summary.outcomes.items()):
        table.add_row(Text(reason), Text(f"{count:,}"), Text(words[outcome]))
    yield table
    if summary.still_invalid:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in sorted(summary.still_invalid.items()))
        yield Text(f"still no trace events: {counts}")
    if summary.redacted:
        yield Text(f"{summary.redacted:,} of them as redacted text: the stream no longer has the original")
    if summary.gone:
        shown = ", ".join(summary.gone[:_GONE_SHOWN]) + (", ..." if len(summary.gone) > _GONE_SHOWN else "")
        yield Text(f"gone: {shown}")
    did = "dry run: would send" if summary.dry_run else "sent"
    yield Text(f"{did} {summary.sent:,} of {summary.outcomes.total():,} messages to {summary.topic}", style="bold")


def letter_table(messages: Iterable[Message]) -> RenderableType:
    """How many letters of each reason there are, what they hold, and when they came."""
    counts: Counter[tuple[str, str]] = Counter()
    times: dict[tuple[str, str], tuple[int, int]] = {}
    for message in messages:
        letter = replayable(message)
        key = (letter.reason or MESSAGE, letter.kept)
        counts[key] += 1
        oldest, newest = times.get(key, (message.timestamp_ms, message.timestamp_ms))
        times[key] = (min(oldest, message.timestamp_ms), max(newest, message.timestamp_ms))
    if not counts:
        return Text("no dead letters")
    table = _table("reason", "letters", "holds", "oldest (UTC)", "newest (UTC)")
    for (reason, kept), count in sorted(counts.items()):
        oldest, newest = times[reason, kept]
        table.add_row(*map(Text, (reason, f"{count:,}", kept, moment_text(oldest), moment_text(newest))))
    return table


def _table(*columns: str) -> Table:
    table = Table(header_style="bold", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in ("messages", "letters") else "left")
    return table
