"""The values of labelling in the ledger: what people said, which traces they were asked about, what is judged again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from monitor.ledger.rows import Label

LABELS: Final = "labels"
"""The subject of decisions that draw a trace for labelling. Only traces that are drawn have one."""

LabelOrigin = Literal["stream", "mlflow"]
LabelState = Literal["waiting", "published"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelRow:
    """What a person said of a trace under a name: a scorer's, or any other. `id` is MLflow's assessment id.

    Attributes:
        label: what it is worth, `error` where it is neither a pass nor a fail.
        drawn: whether the daemon had drawn the trace; the ledger's own, ignored in what is recorded.
        probability: that of the draw; likewise.
        event_time_ms: of the trace where the ledger knows it, else of the label.
        origin: `stream` came as an event, `mlflow` was made there.
        state: `waiting` until MLflow shows it, which it can only once it has the trace.
        assessments: MLflow's form of what came with the stream.
    """

    id: str
    trace_id: str
    scorer: str
    label: Label
    rationale: str | None
    labelled_by: str | None
    event_time_ms: int
    labelled_at_ms: int
    origin: LabelOrigin
    state: LabelState
    assessments: Sequence[Mapping[str, Any]] = ()
    drawn: bool = False
    probability: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceTime:
    """A trace and its time: the place in a walk through the traces."""

    trace_id: str
    event_time_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledVerdict:
    """A verdict on a drawn trace that a person has labelled for the same scorer.

    `weight` is the inverse of the probability that the trace was judged and drawn, `verdict_weight` of the probability
    that it was judged: the unit of what is known of all verdicts.
    """

    trace_id: str
    scorer: str
    scorer_version: str
    human: Label
    judge: Label
    weight: float
    verdict_weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictTally:
    """Verdicts of a scorer's version with one label: how many, and the sums of their weights and of the squares.

    `newest_ms` is when the last of them was given.
    """

    scorer: str
    scorer_version: str
    label: Label
    count: int
    weight: float
    squares: float
    newest_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCount:
    """How many labels of one name people gave, on drawn traces or on others."""

    scorer: str
    drawn: bool
    passed: int
    failed: int
    unread: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenRow:
    """A labelled trace that a scorer's version judges again and again: what it said when this began, and says now."""

    scorer: str
    scorer_version: str
    trace_id: str
    human: Label
    frozen: Label
    frozen_at_ms: int
    latest: Label | None = None
    latest_at_ms: int | None = None
