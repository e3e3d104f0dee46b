"""What the group knows, read from the ledger by every replica."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitor.clock import Clock
from monitor.last_known import LastKnown
from monitor.ledger.rows import ReceiverState
from monitor.metrics.declared import METRICS, bounded, family
from monitor.spend.debt import Debt
from monitor.spend.spending import Pot

GONE_AFTER_S: Final = 60.0
SEGMENTS_SHOWN: Final = 100

RegressionKind = Literal["production", "candidate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassRateFigure:
    """The pass rate of a series, 0 to 1, with its bounds where they are known; `verdicts` is how many it rests on."""

    scorer: str
    segment: str
    rate: float
    verdicts: int
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateFigure:
    """An app version in the latest evaluation, the baseline (without a difference) too. Rates are 0 to 1."""

    version: str
    scorer: str
    pass_rate: float | None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFigure:
    """A scheduled job, in seconds since the epoch: its last success, and by when the next one is due."""

    last_success_s: float | None
    deadline_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeFigure:
    """What labels say of a scorer: the share that agrees, and the corrected pass rate with its bounds, 0 to 1."""

    scorer: str
    agreement: float | None = None
    corrected: float | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFigures:
    """What the ledger says at one look. What is not known is left out, never 0.

    Attributes:
        pass_rates: of the series that have verdicts.
        targets: scorer -> the pass rate asked for.
        firing: (kind, scorer, segment) of each alert that fires; a candidate's segment is `version=NAME`.
        alerts: (kind, scorer, segment, severity) of each alert that fires, of every kind.
        dataset_rows: dataset -> rows.
        candidates: the versions of the latest evaluation.
        jobs: job -> its times.
        accounted: (scorer, outcome) -> events.
        unaccounted: scorer -> events received minus those accounted for, 0 included.
        debt: what is owed; None where it is not known.
        pots: of the day's spend, those that have a limit.
        lost: topic -> events that the stream's retention deleted unread, 0 included.
        judges: what people's labels say of the scorers.
        delivery_working: whether alerts need nobody else to tell of them; None where it is not known.
        receivers: receiver -> how it is doing.
        evidence: (scorer, segment) -> evidence of a regression, alarm at 1.
        detectable_drop: (scorer, segment) -> smallest fall of the pass rate that would be found.
    """

    pass_rates: Sequence[PassRateFigure] = ()
    targets: Mapping[str, float] = field(default_factory=dict)
    firing: Collection[tuple[RegressionKind, str, str]] = ()
    alerts: Collection[tuple[str, str, str, str]] = ()
    dataset_rows: Mapping[str, int] = field(default_factory=dict)
    candidates: Sequence[CandidateFigure] = ()
    jobs: Mapping[str, JobFigure] = field(default_factory=dict)
    accounted: Mapping[tuple[str, str], int] = field(default_factory=dict)
    unaccounted: Mapping[str, int] = field(default_factory=dict)
    debt: Debt | None = None
    pots: Sequence[Pot] = ()
    lost: Mapping[str, int] = field(default_factory=dict)
    judges: Sequence[JudgeFigure] = ()
    delivery_working: bool | None = None
    receivers: Mapping[str, ReceiverState] = field(default_factory=dict)
    evidence: Mapping[tuple[str, str], float] = field(default_factory=dict)
    detectable_drop: Mapping[tuple[str, str], float] = field(default_factory=dict)


class GroupMetrics(Collector):
    """Exports the figures that `read` gives, for a registry. Safe to use from any thread.

    `read` is called at most every 15 seconds, however often metrics are scraped, and never twice at once. While it
    raises `ServiceUnavailable` the last figures are shown until they are 60 seconds old; then there are none.
    """

    def __init__(self, app: str, read: Callable[[], GroupFigures], clock: Clock) -> None:
        self._app = bounded(app)
        self._figures = LastKnown(read, clock)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The metrics without samples, so that registering reads nothing."""
        names = (each.name.removeprefix("tracewatch_") for each in METRICS if each.scope == "group")
        return [family(name) for name in names]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The metrics that have values now."""
        known = self._figures.get()
        if known is None or known.age_s > GONE_AFTER_S:
            return
        for name, samples in _samples(known.value):
            found = family(name)
            for labels, value in samples.items():
                found.add_metric([self._app, *labels], value)
            if samples:
                yield found


Samples = dict[tuple[str, ...], float]


def _samples(figures: GroupFigures) -> Iterator[tuple[str, Samples]]:
    rates = _shown(figures.pass_rates)
    yield "pass_rate", _labelled(((each.scorer, each.segment), each.rate) for each in rates)
    yield "pass_rate_lower", _labelled(((each.scorer, each.segment), each.lower) for each in rates)
    yield "pass_rate_upper", _labelled(((each.scorer, each.segment), each.upper) for each in rates)
    yield "target", _labelled(((scorer,), target) for scorer, target in figures.targets.items())
    yield "regression", _regressions(figures, rates)
    yield "alert_firing", dict.fromkeys((tuple(map(bounded, each)) for each in figures.alerts), 1.0)
    yield "regression_evidence", _labelled(figures.evidence.items())
    yield "detectable_drop", _labelled(figures.detectable_drop.items())
    yield "dataset_rows", _labelled(((dataset,), rows) for dataset, rows in figures.dataset_rows.items())
    versions = figures.candidates
    yield "candidate_pass_rate", _labelled(((each.version, each.scorer), each.pass_rate) for each in versions)
    yield "candidate_difference", _labelled(((each.version, each.scorer), each.difference) for each in versions)
    yield "candidate_difference_lower", _labelled(((each.version, each.scorer), each.lower) for each in versions)
    yield "candidate_difference_upper", _labelled(((each.version, each.scorer), each.upper) for each in versions)
    jobs = figures.jobs.items()
    yield "job_last_success_timestamp_seconds", _labelled(((name,), job.last_success_s) for name, job in jobs)
    yield "job_deadline_timestamp_seconds", _labelled(((name,), job.deadline_s) for name, job in jobs)
    if figures.debt is not None:
        yield "debt_events", _labelled([((), figures.debt.events)])
        yield "debt_verdicts", {(): float(figures.debt.verdicts)}
        yield "debt_judge_calls", _labelled([((), figures.debt.calls)])
        yield "debt_seconds", _labelled([((), figures.debt.seconds)])
        yield "debt_dollars", _labelled([((), figures.debt.dollars)])
    yield "spend_today", _labelled(((pot.name, pot.unit), pot.spent) for pot in figures.pots)
    yield "spend_limit", _labelled(((pot.name, pot.unit), pot.limit) for pot in figures.pots)
    yield "events_accounted", _labelled(figures.accounted.items())
    yield "events_unaccounted", _labelled(((scorer,), events) for scorer, events in figures.unaccounted.items())
    quality = figures.judges
    yield "judge_agreement", _labelled(((each.scorer,), each.agreement) for each in quality)
    yield "corrected_pass_rate", _labelled(((each.scorer,), each.corrected) for each in quality)
    yield "corrected_pass_rate_lower", _labelled(((each.scorer,), each.lower) for each in quality)
    yield "corrected_pass_rate_upper", _labelled(((each.scorer,), each.upper) for each in quality)
    if figures.delivery_working is not None:
        yield "delivery_working", {(): float(figures.delivery_working)}
    receivers = figures.receivers.items()
    yield "receiver_working", _labelled(((name,), float(not state.failing)) for name, state in receivers)
    yield "alerts_undelivered", _labelled(((name,), state.owed) for name, state in receivers)
    yield "events_lost_to_retention", _labelled(((topic,), events) for topic, events in figures.lost.items())


def _labelled(values: Iterable[tuple[tuple[str, ...], float | None]]) -> Samples:
    return {tuple(map(bounded, labels)): float(value) for labels, value in values if value is not None}


def _shown(rates: Sequence[PassRateFigure]) -> list[PassRateFigure]:
    """`all`, and of each scorer's segments the 100 with the most verdicts."""
    shown: list[PassRateFigure] = []
    room = dict.fromkeys((each.scorer for each in rates), SEGMENTS_SHOWN)
    for each in sorted(rates, key=lambda rate: (rate.segment != "all", -rate.verdicts)):
        if each.segment == "all" or room[each.scorer] > 0:
            shown.append(each)
            room[each.scorer] -= each.segment != "all"
    return shown


def _regressions(figures: GroupFigures, rates: Sequence[PassRateFigure]) -> Samples:
    """1 for what fires, 0 for everything else that is watched."""
    watched: list[tuple[str, ...]] = [("production", each.scorer, each.segment) for each in rates]
    watched += [
        ("candidate", each.scorer, f"version={each.version}")
        for each in figures.candidates
        if each.difference is not None
    ]
    return _labelled([(labels, 0.0) for labels in watched] + [(labels, 1.0) for labels in figures.firing])
