"""What the status page shows, as one value: nothing in it is asked for later, and nothing is formatted yet.

Rates are 0 to 1, times milliseconds since the epoch. What is not known is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from monitor.labels.standing import JudgeStanding

State = Literal["regressed", "unknown", "learning", "good"]
Tone = Literal["bad", "warn", "open", "learning", "good"]
Severity = Literal["page", "ticket", "none"]

STATES: Final[tuple[State, ...]] = ("regressed", "unknown", "learning", "good")
"""The worst first."""

STALE_AFTER_S: Final = 60.0
"""Older figures are shown as the last that are known, and prove nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A text that may lead somewhere."""

    text: str
    url: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesView:
    """One series.

    Attributes:
        state: `regressed`, `unknown`, `learning` or `good`; `reason` says why in words.
        rate: the pass rate, with bounds.
        target_or_reference: what it is held against.
        verdicts: that the rate rests on.
        detectable_drop: the smallest fall that would be noticed.
        evidence: of a fall, alarm at 1.
        spark: the pass rate of each of the last 24 hours, the oldest first.
        errors: verdicts of that time that are no answer.
        shadow: it is scored, and alerts nobody.
        anew_ms: since when it is of another version of its scorer than before.
    """

    scorer: str
    segment: str
    state: State
    reason: str | None = None
    rate: float | None = None
    lower: float | None = None
    upper: float | None = None
    target_or_reference: float | None = None
    verdicts: int = 0
    detectable_drop: float | None = None
    evidence: float | None = None
    spark: Sequence[float | None] = ()
    errors: int = 0
    shadow: bool = False
    anew_ms: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScorerView:
    """A scorer's series: `all`, then its segments, the worst first; `hidden` more are not shown."""

    whole: SeriesView
    segments: Sequence[SeriesView] = ()
    hidden: int = 0

    @property
    def state(self) -> State:
        """The worst that is known: a regressed segment is one of the scorer's, a segment unknown to us is not."""
        return "regressed" if any(each.state == "regressed" for each in self.segments) else self.whole.state


@dataclass(frozen=True, kw_only=True, slots=True)
class SliceView:
    """A part of the traffic that explains a fall; `share` is how much of it, `before` what it was held against."""

    segment: str
    rate: float | None
    verdicts: int | None
    share: float | None
    before: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleView:
    """A trace that moved the number, and a good answer to a like input where there is one."""

    trace: Link
    rationale: str | None = None
    value: float | None = None
    weight: float | None = None
    good: Link | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertView:
    """An open alert with its proof. `before` is what its name says; `facts` are further details, by name."""

    kind: str
    scorer: str
    segment: str
    state: Literal["pending", "firing"]
    severity: Severity
    since_ms: int
    fired_ms: int | None = None
    before_name: str = "before"
    before: float | None = None
    after: float | None = None
    lower: float | None = None
    upper: float | None = None
    verdicts: int | None = None
    first_version: str | None = None
    explained_by: Sequence[SliceView] = ()
    examples: Sequence[ExampleView] = ()
    warnings: Sequence[str] = ()
    facts: Sequence[tuple[str, float | int | str]] = ()
    run: Link | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricView:
    """One scorer of a comparison."""

    scorer: str
    baseline: float | None
    candidate: float | None
    difference: float | None
    lower: float | None
    upper: float | None
    verdict: str
    rows_needed: int | None
    errors: int
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnedView:
    """A row that turned from pass to fail: the candidate's trace and why, and the baseline's trace."""

    scorer: str
    candidate: Link
    rationale: str | None
    baseline: Link


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonView:
    """A candidate's latest comparison with its baseline. `turned` are the first of the `pass_to_fail` rows."""

    candidate: Link
    baseline: Link
    dataset: str | None
    rows: int
    finished_ms: int
    candidate_overall: float | None
    baseline_overall: float | None
    difference: float | None
    metrics: Sequence[MetricView]
    pass_to_fail: int
    fail_to_pass: int
    turned: Sequence[TurnedView] = ()

    @property
    def regressed(self) -> bool:
        """Whether any scorer is proved to be worse."""
        return any(metric.verdict == "regressed" for metric in self.metrics)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionView:
    """A partition of the stream; `lag` is known of those that this replica reads."""

    topic: str
    partition: int
    next_offset: int
    received: int
    lost: int
    lag: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountView:
    """What became of the events, for one scorer: outcome -> events; `missing` are received and not accounted for."""

    scorer: str
    outcomes: Mapping[str, int]
    missing: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DependencyView:
    """Something that this replica depends on."""

    name: str
    up: bool
    cause: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeView:
    """The judge's endpoint, as this replica sees it."""

    circuit: Literal["closed", "half_open", "open"]
    allowed: int
    in_flight: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DebtView:
    """What is owed, and what it takes to catch up; `events` wait in the stream, None where that is not known."""

    events: int | None
    verdicts: int
    seconds: float | None
    dollars: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PotView:
    """A pot of the day's spend."""

    name: str
    unit: Literal["calls", "dollars"]
    limit: float
    spent: float
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetView:
    """The evaluation dataset."""

    name: Link
    rows: int
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """How a job last went."""

    job: str
    last_success_ms: int | None
    last_failure_ms: int | None
    error: str | None
    overdue: bool

    @property
    def failing(self) -> bool:
        """Whether the last word was a failure."""
        return self.last_failure_ms is not None and self.last_failure_ms > (self.last_success_ms or 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaView:
    """A replica that runs."""

    holder: str | None
    version: str
    started_ms: int
    seen_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Something that is not there yet, and what to do about it."""

    what: str
    todo: str
    command: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PageView:
    """The whole page.

    Attributes:
        now_ms: when it is shown.
        age_s: of what the ledger said; None where it has said nothing yet.
        with_texts: whether traces' texts, causes and addresses are shown.
        counts: state -> series, of all there are, those that alert nobody left out.
        alerts: the open ones, as many as fit; `firing` and `pending` count all of them.
        judges: those that must not be trusted first.
        observing: everything is computed and nothing is delivered.
    """

    app: str
    version: str
    now_ms: int
    age_s: float | None
    ready: bool
    dependencies: Sequence[DependencyView]
    labels: Mapping[str, str] = field(default_factory=dict)
    with_texts: bool = True
    observing: bool = False
    missing: Sequence[Missing] = ()
    alerts: Sequence[AlertView] = ()
    firing: int = 0
    pending: int = 0
    counts: Mapping[State, int] = field(default_factory=dict)
    scorers: Sequence[ScorerView] = ()
    judges: Sequence[JudgeStanding] = ()
    comparisons: Sequence[ComparisonView] = ()
    partitions: Sequence[PartitionView] = ()
    accounts: Sequence[AccountView] = ()
    judge: JudgeView | None = None
    debt: DebtView | None = None
    pots: Sequence[PotView] = ()
    dataset: DatasetView | None = None
    jobs: Sequence[JobView] = ()
    replicas: Sequence[ReplicaView] = ()
    traces: Link | None = None

    @property
    def stale(self) -> bool:
        """Whether what is shown may be over."""
        return self.age_s is None or self.age_s > STALE_AFTER_S

    @property
    def paging(self) -> bool:
        """Whether an alert fires that pages somebody."""
        return any(alert.state == "firing" and alert.severity == "page" for alert in self.alerts)
