"""The values that go into the ledger and come out of it. Times are milliseconds since the epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

DecisionState = Literal["due", "parked", "left_out", "member", "scored", "drawn"]
ClaimOutcome = Literal["new", "again", "duplicate"]
Label = Literal["pass", "fail", "error"]
MemberState = Literal["active", "evicted"]
AlertState = Literal["pending", "firing", "resolved"]
Transition = Literal["fired", "raised", "resolved"]
EvaluationState = Literal["running", "finished", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class EventPosition:
    """Where an event stands in the stream."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceRow:
    """One trace and the position of the event that brought it first. `segments` maps segment keys to values."""

    trace_id: str
    source_id: str
    topic: str
    partition: int
    offset: int
    event_time_ms: int
    name: str
    app_version: str | None
    session_id: str | None
    status: str
    inputs_digest: str
    segments: Mapping[str, str]

    @property
    def position(self) -> EventPosition:
        """The position of the event that owns the trace."""
        return EventPosition(topic=self.topic, partition=self.partition, offset=self.offset)


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionRow:
    """What sampling decided for one subject: a scorer's name, `dataset:NAME`, or `labels` for a trace to be labelled.

    `probability` is the inclusion probability, fixed before the score is known.
    """

    subject: str
    kept: bool
    probability: float
    reason: str
    state: DecisionState


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Whose trace it is.

    `new`: this event brought it. `again`: this very event was seen before. `duplicate`: an event at another position
    owns it. `scored` names the scorers whose verdicts are in the ledger; `decisions` are those in the ledger.
    """

    outcome: ClaimOutcome
    scored: frozenset[str]
    owner: EventPosition
    decisions: tuple[DecisionRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictRow:
    """One scorer's verdict on one trace. `value` is within 0..1, None for an error; durations are seconds.

    `block` is the minute of event time in which its series took it in, None while that is open.
    """

    trace_id: str
    scorer: str
    scorer_version: str
    assessment_id: str
    label: Label
    value: float | None
    feedback: Mapping[str, Any]
    rationale: str | None
    error: str | None
    probability: float
    reason: str
    segments: Mapping[str, str]
    app_version: str | None
    session_id: str | None
    event_time_ms: int
    topic: str
    partition: int
    offset: int
    judged_at_ms: int
    duration_s: float
    published: bool = False
    block: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ParkedRow:
    """A verdict that is owed: it was over the budget when its trace came."""

    trace_id: str
    scorer: str
    decision: DecisionRow
    trace: TraceRow


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Accounted:
    """How many events had this outcome for this scorer, up to the watermarks."""

    scorer: str
    outcome: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Mismatch:
    """A scorer whose outcomes do not add up to the events it should have seen."""

    scorer: str
    received: int
    accounted: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PositionRow:
    """The watermark of one partition and what passed it. `lost` counts offsets that retention deleted unread.

    `lag` is how many events the stream was ahead when the partition's owner last looked, None where nobody has.
    """

    topic: str
    partition: int
    next_offset: int
    received: int
    lost: int
    lag: int | None = None
    lag_seen_ms: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberRow:
    """One dataset record: the first trace of an inputs digest owns it.

    `priority` is the bottom-k key of sampling, `probability` that of arrival. `state`, `record_id` and `revision` are
    the ledger's own and are ignored in what is offered; `revision` grows with each change that MLflow has to learn.
    """

    dataset: str
    inputs_digest: str
    trace_id: str
    segment: str
    priority: float
    probability: float
    golden: bool
    inputs: Any
    outputs: Any
    expectations: Mapping[str, Any]
    tags: Mapping[str, str]
    event_time_ms: int
    state: MemberState = "active"
    record_id: str | None = None
    revision: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseToken:
    """Proof of a lease. `token` is larger for each new holder of the same name, so that an old one is told apart."""

    name: str
    holder: str
    token: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaseStanding:
    """A lease as its row stands: two that are equal, and nobody has prolonged it in between."""

    token: int
    expires_at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRow:
    """An evaluation as it begins, with the very rows it runs on."""

    id: str
    dataset: str
    digest: str
    rows: Sequence[Mapping[str, Any]]
    started_at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSummary:
    """An evaluation without its rows. `runs` maps a version to `{"run_id", "overall", "metrics"}`."""

    id: str
    dataset: str
    digest: str
    row_count: int
    state: EvaluationState
    started_at_ms: int
    finished_at_ms: int | None
    runs: Mapping[str, Mapping[str, Any]]
    error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonRow:
    """The comparison of one candidate, as `compare --json` prints it."""

    evaluation_id: str
    candidate: str
    finished_at_ms: int
    comparison: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertRow:
    """One alert through its life. `details` is the proof that is delivered with it."""

    id: str
    kind: str
    scorer: str
    segment: str
    state: AlertState
    severity: str
    since_ms: int
    fired_ms: int | None = None
    resolved_ms: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    """What a receiver is told of an alert: that it fired, that its severity rose to a page, or that it is over.

    `attempts` are those since it was last accepted, `delivered_ms` is when it first was.
    """

    alert_id: str
    receiver: str
    transition: Transition
    severity: str
    created_ms: int
    next_attempt_ms: int
    attempts: int = 0
    delivered_ms: int | None = None
    last_error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiverState:
    """How a receiver is doing: messages not accepted yet, whether it fails, its last error while it does."""

    owed: int = 0
    failing: bool = False
    last_error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRow:
    """How a scheduled job last went."""

    job: str
    last_success_ms: int | None
    last_failure_ms: int | None
    last_error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaRow:
    """One running replica: its version, the newest revision that its code knows, its start and last sign of life."""

    holder: str
    version: str
    revision: str
    started_ms: int
    seen_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PassRate:
    """The Hajek estimate of a pass rate: sum(w * passed) / sum(w) with w = 1 / probability; errors are left out.

    `segment` is `all` or `key=value`; `verdicts` counts the passes and fails that it rests on.
    """

    scorer: str
    segment: str
    verdicts: int
    rate: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HourRow:
    """A series in one hour of event time (ms // 3_600_000).

    `verdicts` counts passes and fails, whose weights are `weight`, those of the passes `passed`; `errors` counts what
    is no answer.
    """

    scorer: str
    segment: str
    hour: int
    verdicts: int
    errors: int
    weight: float
    passed: float

    @property
    def rate(self) -> float | None:
        """The Hajek estimate of the pass rate; None without any answer that weighs something."""
        return self.passed / self.weight if self.weight > 0 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class VerdictCount:
    """How many verdicts of a label a scorer has given; `weighted` is the sum of 1 / probability."""

    scorer: str
    segment: str
    label: Label
    count: int
    weighted: float


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendRow:
    """What a UTC day (ms // 86_400_000) cost for a purpose, or a difference of it. A microdollar is a millionth."""

    day: int
    purpose: str
    calls: int
    microdollars: int


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenVerdict:
    """Of a verdict row what its series take in."""

    trace_id: str
    scorer: str
    scorer_version: str
    label: Label
    value: float | None
    probability: float
    segments: Mapping[str, str]
    app_version: str | None
    session_id: str | None
    event_time_ms: int

    @property
    def segment_names(self) -> list[str]:
        """The segments beside `all`, written key=value."""
        return [f"{key}={value}" for key, value in self.segments.items()]


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedVerdict(OpenVerdict):
    """A verdict with the time at which it was given."""

    judged_at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TracedVerdict(OpenVerdict):
    """A verdict with its rationale and what its trace was about; None where the trace is forgotten."""

    rationale: str | None
    inputs_digest: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesRow:
    """One series. Blocks are named by their first ms of event time; `state` is the sequential test's own."""

    scorer: str
    segment: str
    scorer_version: str
    first_block: int
    last_block: int
    state: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockRow:
    """The clock of deposits: up to which block it has run, how many series share it since, and its reading in hours."""

    block: int
    live: int
    shares: float
