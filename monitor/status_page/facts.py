"""What the page is made from: what the configuration asks for, what this process knows, what the ledger says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from monitor.health import Dependency
from monitor.ledger.rows import HourRow
from monitor.overview import Overview
from monitor.status_page.hours import SeriesKey
from monitor.tracking.links import MlflowLinks
from scorers.judge_endpoint import EndpointState


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedScorer:
    """What the configuration asks of a scorer."""

    name: str
    target: float | None
    shadow: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the configuration says.

    Attributes:
        app: the application's name.
        version: of Tracewatch.
        labels: of every alert.
        scorers: in their order.
        min_verdicts: fewer decide nothing.
        stream: where events come from, in words: the topic's name, or the file's.
        reads_kafka: whether that is a topic.
        dataset: its name and the most rows; None without one.
        candidates: versions that are compared with the baseline.
        observing: nothing is delivered.
        deadline_s: by when a job has to succeed, told its name and last success in seconds; None without a plan.
    """

    app: str
    version: str
    labels: Mapping[str, str]
    scorers: Sequence[AskedScorer]
    min_verdicts: int
    stream: str
    reads_kafka: bool
    dataset: tuple[str, int] | None
    candidates: Sequence[str]
    observing: bool
    deadline_s: Callable[[str, float | None], float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Own:
    """What this process knows: its dependencies, the judge's endpoint, the lag of the partitions that it reads."""

    dependencies: Mapping[str, Dependency]
    judge: EndpointState | None = None
    lags: Mapping[tuple[str, int], int] = field(default_factory=dict)
    links: MlflowLinks | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What the ledger said; `hours` are the last 24 of each series."""

    overview: Overview
    hours: Mapping[SeriesKey, Sequence[HourRow | None]]
