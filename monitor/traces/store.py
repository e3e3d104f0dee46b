"""What the pipeline asks of a trace store."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from mlflow.entities import Assessment, Trace, TraceInfo


class TraceStore(Protocol):
    """Traces by id. Every write is an upsert, so that a redelivery leaves things as they were.

    Tags and assessments that people have added stay; a trace that the store has keeps its experiment. All methods
    raise TraceStoreUnavailable when the store is away. Threads may share a store.
    """

    def put(self, trace: Trace, assessments: Sequence[Assessment] = ()) -> None:
        """Store a trace with its spans, its own assessments and those given.

        Raises:
            TraceRejected: the store will never take it.
        """
        ...

    def put_many(self, traces: Sequence[Trace]) -> None:
        """Store several traces at once, for less than as many `put`; a failure may leave some of them stored.

        Raises:
            TraceRejected: the store will never take one of them; `put` each to find out which.
        """
        ...

    def publish(self, trace_id: str, assessments: Sequence[Assessment]) -> None:
        """Add assessments, by their ids, to a trace that is stored; one that a person has overridden is left alone.

        Raises:
            TraceRejected: there is no such trace, or an assessment has no id.
        """
        ...

    def get(self, trace_id: str) -> Trace | None:
        """The trace with spans, tags and assessments, or None."""
        ...

    def infos(self, trace_ids: Collection[str]) -> Mapping[str, TraceInfo]:
        """By id the tags, metadata and assessments of traces, without their spans; those not there are left out."""
        ...

    def probe(self) -> None:
        """Return if the store answers."""
        ...

    def takes_writes(self) -> bool:
        """Whether the store takes a small write now; raises nothing."""
        ...
