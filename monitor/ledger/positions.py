"""How far each partition is done, and what became of every event: the accounting."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, literal_column, select, update

from monitor.ledger.database import Database, add_counts, insert_once
from monitor.ledger.rows import Accounted, Mismatch, PositionRow
from monitor.ledger.schema import decisions, outcome_counts, positions, received_counts, traces

OutcomeKey = tuple[str, str, str]
"""(scorer, outcome, reason)."""

_LAG_IS_KNOWN_MS: Final = 5 * 60_000


def known_lag(rows: Iterable[PositionRow], now_ms: int) -> int | None:
    """How many events wait in the stream, None where nobody has looked at any partition lately."""
    known = [
        row.lag
        for row in rows
        if row.lag is not None and row.lag_seen_ms is not None and now_ms - row.lag_seen_ms <= _LAG_IS_KNOWN_MS
    ]
    return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Positions:
    """Watermarks and outcome counts, which change together or not at all.

    Every count is exact at every instant: an outcome is added only by the transaction that moves the watermark over
    its event, and that transaction happens once, because it names the offset that it starts from.
    """

    database: Database

    def read(self, topic: str, partition: int) -> int | None:
        """The next offset that is not done, None for a partition never opened.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            return _next_offset(connection, topic, partition)

    def open(self, topic: str, partition: int, at: int) -> int:
        """Begin a partition at an offset unless it has begun; returns the next offset that stands in the ledger.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            insert_once(connection, positions, {"topic": topic, "partition": partition, "next_offset": at})
            stands = _next_offset(connection, topic, partition)
        return at if stands is None else stands

    def advance(  # noqa: PLR0917 - a place, a step and what it counts
        self,
        topic: str,
        partition: int,
        from_offset: int,
        to_offset: int,
        counts: Mapping[OutcomeKey, int],
        received: int,
    ) -> bool:
        """Move the watermark and add the outcomes of the events between, in one transaction.

        Args:
            topic: of the partition.
            partition: its number.
            from_offset: where the watermark must stand.
            to_offset: where it goes.
            counts: (scorer, outcome, reason) -> events. Each scorer's should add up to `received`; `mismatches` tells.
            received: the events between the offsets (offsets may have gaps).

        Returns:
            False, with nothing changed, when the watermark is elsewhere: another owner moved it, or this very call was
            committed before although it raised. `read` tells which.

        Raises:
            LedgerUnavailable: the database does not answer.
            ValueError: offsets that go back, or a negative count.
        """
        if to_offset <= from_offset or received < 0 or any(count < 0 for count in counts.values()):
            raise ValueError(
                f"no step forward: {from_offset} to {to_offset}, {received} received, counts {dict(counts)}"
            )
        with self.database.write() as connection:
            if not _step(connection, topic, partition, from_offset, to_offset, received=received):
                return False
            _add_outcomes(connection, topic, partition, counts, received)
        return True

    def skip(self, topic: str, partition: int, from_offset: int, to_offset: int, lost: int = 0) -> bool:
        """Move the watermark over offsets that nobody will read; `lost` of them were deleted by retention.

        Returns:
            False, with nothing changed, when the watermark is not at `from_offset`.

        Raises:
            LedgerUnavailable: the database does not answer.
            ValueError: offsets that go back, or a negative count.
        """
        if to_offset <= from_offset or lost < 0:
            raise ValueError(f"no step forward: {from_offset} to {to_offset}, {lost} lost")
        with self.database.write() as connection:
            return _step(connection, topic, partition, from_offset, to_offset, lost=lost)

    def reset(self, topic: str, partition: int, at: int) -> None:
        """Set the watermark by an operator's order, for a topic that was made anew. Counts stay.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.write() as connection:
            insert_once(connection, positions, {"topic": topic, "partition": partition, "next_offset": at})
            connection.execute(
                update(positions)
                .where(positions.c.topic == topic, positions.c.partition == partition)
                .values(next_offset=at)
            )

    def note_lag(self, lag: Mapping[tuple[str, int], int], now_ms: int) -> None:
        """Note how far the stream is ahead of each partition's reader.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        if not lag:
            return
        row = positions.c
        statement = (
            update(positions)
            .where(row.topic == bindparam("of_topic"), row.partition == bindparam("of_partition"))
            .values(lag=bindparam("behind"), lag_seen_ms=now_ms)
        )
        rows = [
            {"of_topic": topic, "of_partition": partition, "behind": behind}
            for (topic, partition), behind in sorted(lag.items())
        ]
        with self.database.write() as connection:
            connection.execute(statement, rows)

    def all(self) -> list[PositionRow]:
        """Every partition that was ever opened, by topic and number.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            found = connection.execute(select(positions).order_by(positions.c.topic, positions.c.partition))
            return [PositionRow(**row) for row in found.mappings()]

    def received(self) -> int:
        """Events that passed the watermarks, of all partitions.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        return sum(row.received for row in self.all())

    def accounted(self) -> list[Accounted]:
        """What became of the events that passed the watermarks, for each scorer; zero counts are left out.

        An event counted as parked moves to scored when its verdict is recorded: parked is what is still owed.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            counts = _outcomes(connection)
            owed = _parked_below_watermark(connection)
        for scorer in {scorer for scorer, outcome in counts if outcome == "parked"} | set(owed):
            worked_off = counts[scorer, "parked"] - owed[scorer]
            counts[scorer, "parked"] -= worked_off
            counts[scorer, "scored"] += worked_off
        return [
            Accounted(scorer=scorer, outcome=outcome, count=count)
            for (scorer, outcome), count in sorted(counts.items())
            if count
        ]

    def dead_letters(self) -> dict[str, dict[str, int]]:
        """Scorer -> reason -> events that were no trace events, of all partitions. Every scorer counts each event.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = outcome_counts.c
        found: dict[str, dict[str, int]] = {}
        with self.database.read() as connection:
            counted = connection.execute(
                select(row.scorer, row.reason, func.sum(row["count"]))
                .where(row.outcome == "dead_lettered")
                .group_by(row.scorer, row.reason)
                .order_by(row.scorer, row.reason)
            )
            for scorer, reason, count in counted:
                found.setdefault(scorer, {})[reason] = int(count)
        return found

    def mismatches(self) -> list[Mismatch]:
        """Scorers whose outcomes do not add up to the events that passed since they were first counted.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        with self.database.read() as connection:
            accounted: Counter[str] = Counter()
            for (scorer, _), count in _outcomes(connection).items():
                accounted[scorer] += count
            seen = connection.execute(
                select(received_counts.c.scorer, func.sum(received_counts.c["count"])).group_by(
                    received_counts.c.scorer
                )
            )
            received = Counter({scorer: int(count) for scorer, count in seen})
        return [
            Mismatch(scorer=scorer, received=received[scorer], accounted=accounted[scorer])
            for scorer in sorted(set(received) | set(accounted))
            if received[scorer] != accounted[scorer]
        ]


def _next_offset(connection: Connection, topic: str, partition: int) -> int | None:
    found: int | None = connection.execute(
        select(positions.c.next_offset).where(positions.c.topic == topic, positions.c.partition == partition)
    ).scalar_one_or_none()
    return found


def _step(
    connection: Connection,
    topic: str,
    partition: int,
    from_offset: int,
    to_offset: int,
    *,
    received: int = 0,
    lost: int = 0,
) -> bool:
    row = positions.c
    moved = connection.execute(
        update(positions)
        .where(row.topic == topic, row.partition == partition, row.next_offset == from_offset)
        .values(next_offset=to_offset, received=row.received + received, lost=row.lost + lost)
    )
    return moved.rowcount == 1


def _add_outcomes(
    connection: Connection, topic: str, partition: int, counts: Mapping[OutcomeKey, int], received: int
) -> None:
    place = {"topic": topic, "partition": partition}
    add_counts(
        connection,
        outcome_counts,
        [
            place | {"scorer": scorer, "outcome": outcome, "reason": reason, "count": count}
            for (scorer, outcome, reason), count in counts.items()
            if count
        ],
    )
    scorers = {scorer for scorer, _, _ in counts}
    add_counts(connection, received_counts, [place | {"scorer": scorer, "count": received} for scorer in scorers])


def _outcomes(connection: Connection) -> Counter[tuple[str, str]]:
    row = outcome_counts.c
    found = connection.execute(
        select(row.scorer, row.outcome, func.sum(row["count"])).group_by(row.scorer, row.outcome)
    )
    return Counter({(scorer, outcome): int(count) for scorer, outcome, count in found})


def _parked_below_watermark(connection: Connection) -> Counter[str]:
    # Those above it are still counted as waiting. The literal lets SQLite use the partial index.
    found = connection.execute(
        select(decisions.c.subject, func.count())
        .join(traces, traces.c.trace_id == decisions.c.trace_id)
        .join(positions, (positions.c.topic == traces.c.topic) & (positions.c.partition == traces.c.partition))
        .where(decisions.c.state == literal_column("'parked'"), traces.c.offset < positions.c.next_offset)
        .group_by(decisions.c.subject)
    )
    return Counter({subject: int(count) for subject, count in found})
