"""Sums over verdicts, for gauges and the status page."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Row, RowMapping, case, func, select

from monitor.ledger.database import Database
from monitor.ledger.rows import HourRow, Label, PassRate, VerdictCount
from monitor.ledger.schema import verdicts

HOUR_MS: Final = 3_600_000
MOST_GROUPS: Final = 20_000
"""Combinations of segments and hours that are read at once, at most."""

ScorerVersion = tuple[str, str]
"""A scorer's name and the version of its definition."""


@dataclass(slots=True)
class _Sum:
    count: int = 0
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Reads only. Verdicts are weighted by the inverse of their probability; probability 0 weighs nothing."""

    database: Database

    def pass_rates(self, since_ms: int) -> list[PassRate]:
        """The pass rate of each scorer and segment over traces from `since_ms` on; series without any are left out.

        Formula: the Hajek estimate sum(w * y) / sum(w), w = 1 / probability, y = 1 for a pass and 0 for a fail. Error
        verdicts are no answer and are left out.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        sums = self._sums(since_ms)
        rates = []
        for scorer, segment in sorted({(scorer, segment) for scorer, segment, _ in sums}):
            passed, failed = sums[scorer, segment, "pass"], sums[scorer, segment, "fail"]
            weight = passed.weight + failed.weight
            if weight > 0:
                count = passed.count + failed.count
                rates.append(PassRate(scorer=scorer, segment=segment, verdicts=count, rate=passed.weight / weight))
        return rates

    def judged_alike(
        self, scorer: ScorerVersion, other: ScorerVersion, since_ms: int
    ) -> Mapping[tuple[Label, Label], int]:
        """What two scorers said of the same traces from `since_ms` on: (label, label of the other) -> traces.

        Of each only verdicts of the version that is given: what a judge said before it was reworded is another's word.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        one, two = verdicts.alias("one"), verdicts.alias("two")
        with self.database.read() as connection:
            found = connection.execute(
                select(one.c.label, two.c.label, func.count())
                .join(two, two.c.trace_id == one.c.trace_id)
                .where(
                    one.c.scorer == scorer[0],
                    one.c.scorer_version == scorer[1],
                    two.c.scorer == other[0],
                    two.c.scorer_version == other[1],
                    one.c.event_time_ms >= since_ms,
                )
                .group_by(one.c.label, two.c.label)
            )
            return {(label, another): count for label, another, count in found}

    def by_hour(self, first_hour: int, end_hour: int) -> list[HourRow]:
        """What each series was judged, hour by hour, from `first_hour` up to `end_hour`, which is not one of them.

        Hours without verdicts are left out. Where segments take more than 20,000 combinations, as the values of a key
        without bound do, only the series `all` are given.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        rows = self._hours(first_hour, end_hour, by_segments=True)
        if len(rows) > MOST_GROUPS:
            rows = self._hours(first_hour, end_hour, by_segments=False)
        return _hour_rows(rows)

    def _hours(self, first_hour: int, end_hour: int, *, by_segments: bool) -> Sequence[RowMapping]:
        row = verdicts.c
        errors = func.count(case((row.label == "error", 1)))
        weight = case((row.label != "error", 1.0 / row.probability), else_=0.0)
        passed = case((row.label == "pass", 1.0 / row.probability), else_=0.0)
        hour = (row.event_time_ms // HOUR_MS).label("hour")
        keys = [row.scorer, hour, *([row.segments] if by_segments else [])]
        wanted = (
            select(
                *keys,
                (func.count() - errors).label("verdicts"),
                errors.label("errors"),
                func.sum(weight).label("weight"),
                func.sum(passed).label("passed"),
            )
            .where(
                row.event_time_ms >= first_hour * HOUR_MS,
                row.event_time_ms < end_hour * HOUR_MS,
                row.probability > 0,
            )
            # By its label: a database takes two bound parameters for two expressions.
            .group_by(row.scorer, "hour", *keys[2:])
            .limit(MOST_GROUPS + 1)
        )
        with self.database.read() as connection:
            return connection.execute(wanted).mappings().all()

    def judged_since(self, since_ms: int, scorers: Collection[str]) -> int:
        """How many verdicts these scorers have given since then, by the time of judging.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = verdicts.c
        with self.database.read() as connection:
            found = connection.execute(
                select(func.count()).where(row.judged_at_ms >= since_ms, row.scorer.in_(sorted(scorers)))
            )
            return int(found.scalar_one())

    def verdict_counts(self, since_ms: int = 0) -> list[VerdictCount]:
        """How many verdicts of each label each scorer and segment has, over traces from `since_ms` on.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        return [
            VerdictCount(scorer=scorer, segment=segment, label=label, count=each.count, weighted=each.weight)
            for (scorer, segment, label), each in sorted(self._sums(since_ms).items())
        ]

    def latest_errors(self, scorer: str, since_ms: int, limit: int) -> list[tuple[str, str | None]]:
        """The newest traces from `since_ms` on on which a scorer failed, each with the error.

        Raises:
            LedgerUnavailable: the database does not answer.
        """
        row = verdicts.c
        wanted = (
            select(row.trace_id, row.error)
            .where(row.event_time_ms >= since_ms, row.scorer == scorer, row.label == "error")
            .order_by(row.event_time_ms.desc(), row.trace_id)
            .limit(limit)
        )
        with self.database.read() as connection:
            return [(each.trace_id, each.error) for each in connection.execute(wanted)]

    def _sums(self, since_ms: int) -> defaultdict[tuple[str, str, Label], _Sum]:
        sums: defaultdict[tuple[str, str, Label], _Sum] = defaultdict(_Sum)
        for row in self._grouped(since_ms):
            for segment in ("all", *_names(row.segments)):
                into = sums[row.scorer, segment, row.label]
                into.count += row.verdicts
                into.weight += row.weight
        return sums

    def _grouped(self, since_ms: int) -> list[Row[tuple[str, Mapping[str, str], Label, int, float]]]:
        # Traces share few combinations of segments, whose text is canonical: the database adds up each.
        row = verdicts.c
        weight = 1.0 / row.probability
        with self.database.read() as connection:
            found = connection.execute(
                select(
                    row.scorer,
                    row.segments,
                    row.label,
                    func.count().label("verdicts"),
                    func.sum(weight).label("weight"),
                )
                .where(row.event_time_ms >= since_ms, row.probability > 0)
                .group_by(row.scorer, row.segments, row.label)
            )
            return list(found)


def _hour_rows(rows: Iterable[RowMapping]) -> list[HourRow]:
    sums: defaultdict[tuple[str, str, int], list[RowMapping]] = defaultdict(list)
    for row in rows:
        for segment in ("all", *_names(row.get("segments", {}))):
            sums[row["scorer"], segment, row["hour"]].append(row)
    return [
        HourRow(
            scorer=scorer,
            segment=segment,
            hour=hour,
            verdicts=sum(row["verdicts"] for row in found),
            errors=sum(row["errors"] for row in found),
            weight=sum(row["weight"] for row in found),
            passed=sum(row["passed"] for row in found),
        )
        for (scorer, segment, hour), found in sorted(sums.items())
    ]


def _names(segments: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in segments.items()]
