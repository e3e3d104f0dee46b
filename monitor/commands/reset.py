"""Setting the positions of a topic anew, in the ledger and in Kafka, after it was made anew or cut."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from consumers.kafka_archive import bounds_of
from consumers.kafka_groups import active_members, committed_offsets, set_offsets
from consumers.messages import TopicPartition
from consumers.settings import SourceSettings
from monitor.errors import MonitorError
from monitor.ledger.positions import Positions


class ResetRefused(MonitorError):
    """The positions cannot be set as asked; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One partition: where the ledger and Kafka stand (None: nowhere yet), and where both are to stand."""

    partition: int
    ledger: int | None
    committed: int | None
    to: int


def plan_reset(settings: SourceSettings, positions: Positions, to: str, partition: int | None) -> list[Step]:
    """What a reset would do, of one partition or of all.

    Args:
        settings: of the stream.
        positions: the ledger's.
        to: `beginning`, `end` or an offset.
        partition: only this one.

    Raises:
        ResetRefused: a daemon of the group runs, or there is no such partition or offset.
        SourceUnavailable: Kafka is away, or has no such topic.
        LedgerUnavailable: the ledger does not answer.
    """
    if settings.kind != "kafka":
        raise ResetRefused(f"reset needs `source.kind: kafka`, not {settings.kind}")
    refuse_while_active(settings)
    bounds = bounds_of(settings, settings.topic)
    wanted = sorted(bounds) if partition is None else [partition]
    if missing := [each for each in wanted if each not in bounds]:
        raise ResetRefused(f"{settings.topic} has no partition {missing[0]}: it has {len(bounds)}, from 0 on")
    if _is_offset(to) and len(wanted) > 1:
        raise ResetRefused(f"{settings.topic} has {len(bounds)} partitions: --to {to} needs --partition")
    places = [TopicPartition(settings.topic, each) for each in wanted]
    committed = committed_offsets(settings.connection(), _group(settings), places)
    return [
        Step(
            partition=each.partition,
            ledger=positions.read(*each),
            committed=committed.get(each),
            to=_target(each, to, *bounds[each.partition]),
        )
        for each in places
    ]


def reset(settings: SourceSettings, positions: Positions, steps: Sequence[Step]) -> None:
    """Set both positions of each partition. Doing it again is safe; the ledger's counts stay as they are.

    Kafka comes first, because it refuses while a member is there. Offsets that are passed over are neither received
    nor lost; what is read a second time is received a second time, and repeats no effect.

    Raises:
        GroupIsActive: a daemon has started meanwhile; the ledger is unchanged.
        SourceUnavailable: Kafka is away; the ledger is unchanged.
        LedgerUnavailable: the ledger does not answer: do it again.
    """
    offsets = {TopicPartition(settings.topic, step.partition): step.to for step in steps}
    set_offsets(settings.connection(), _group(settings), offsets)
    for step in steps:
        positions.reset(settings.topic, step.partition, step.to)


def refuse_while_active(settings: SourceSettings) -> None:
    """Positions that somebody moves must not be set beside them.

    Raises:
        ResetRefused: the group has members.
    """
    if members := active_members(settings.connection(), _group(settings)):
        raise ResetRefused(
            f"group {_group(settings)} has {len(members)} active members ({', '.join(members)}): stop every daemon "
            f"first; one that was killed is a member for another {settings.session_timeout.total_seconds():g} s"
        )


def reset_table(topic: str, steps: Sequence[Step]) -> Table:
    """Old and new, partition by partition."""
    table = Table(header_style="bold", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("partition", "ledger", "Kafka", "new"):
        table.add_column(column, justify="left" if column == "partition" else "right")
    for step in steps:
        old = ("none" if at is None else f"{at:,}" for at in (step.ledger, step.committed))
        table.add_row(*map(Text, (f"{topic}[{step.partition}]", *old, f"{step.to:,}")))
    return table


def _target(place: TopicPartition, to: str, first: int, end: int) -> int:
    if to == "beginning":
        return first
    if to == "end":
        return end
    if not _is_offset(to):
        raise ResetRefused(f"--to {to!r} is none of beginning, end, or an offset")
    if not first <= int(to) <= end:
        raise ResetRefused(f"--to {to}: {place} has offsets from {first:,} to its end at {end:,}")
    return int(to)


def _is_offset(to: str) -> bool:
    return to.isascii() and to.isdigit()


def _group(settings: SourceSettings) -> str:
    # The configuration fills it in with the application's name.
    return settings.group_id or ""
