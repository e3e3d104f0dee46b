"""Which rows stay in a dataset of bounded size: a pure function of the set of rows, whatever their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitor.dataset.records import Member


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Inputs digests of the rows that stay and of those that go."""

    kept: frozenset[str]
    evicted: frozenset[str]


def choose(members: Iterable[Member], max_rows: int, quotas: Mapping[str, int] | None = None) -> Selection:
    """Decide which rows stay: at most `max_rows`, unless the golden ones alone are more.

    Segments take turns: each one's best row first, then each one's second, and so on, until the dataset is full. So
    a segment loses a row only to one that has at most as many. Within a segment golden rows come first, then larger
    priorities; `quotas` are upper bounds of single segments. A row that was evicted would be evicted again with any
    further rows, so deciding after each arrival gives what deciding once at the end gives.
    """
    by_segment: defaultdict[str, list[Member]] = defaultdict(list)
    for member in members:
        by_segment[member.segment].append(member)
    ranked: list[tuple[int, float, str]] = []
    kept: set[str] = set()
    every: set[str] = set()
    for segment, rows in by_segment.items():
        limit = (quotas or {}).get(segment)
        ordered = sorted(rows, key=lambda row: (not row.golden, -row.priority, row.inputs_digest))
        for rank, row in enumerate(ordered):
            every.add(row.inputs_digest)
            if row.golden:
                kept.add(row.inputs_digest)
            elif limit is None or rank < limit:
                ranked.append((rank, -row.priority, row.inputs_digest))
    ranked.sort()
    kept.update(digest for _, _, digest in ranked[: max(0, max_rows - len(kept))])
    return Selection(kept=frozenset(kept), evicted=frozenset(every - kept))
