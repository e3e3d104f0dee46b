"""What one process counts and measures."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitor.health import Health
from monitor.metrics.declared import bounded, counter, family, gauge, histogram
from scorers.judge_endpoint import EndpointState

SEGMENTS_SHOWN: Final = 100
_VERDICTS: Final = ("pass", "fail", "error")
_OUTCOMES: Final = ("accepted", "failed")
_BUILD_LABELS: Final = ("app", "version", "config")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLabels:
    """The label values that are known at start; their counters are 0 before they are first used.

    Attributes:
        app: the application's name, first label of every metric.
        version: of Tracewatch.
        config: digest of the configuration.
        topics: that events come from.
        scorers: every configured scorer.
        dead_letter_reasons: every reason that decoding can give.
        sampling: every (decision, reason) that is known.
        receivers: of alerts.
        labels: the configured labels, for build_info.
    """

    app: str
    version: str
    config: str
    topics: Sequence[str] = ()
    scorers: Sequence[str] = ()
    dead_letter_reasons: Sequence[str] = ()
    sampling: Sequence[tuple[str, str]] = ()
    receivers: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class ProcessMetrics:
    """What this process counts and measures; sums over replicas are meaningful. Safe to use from any thread."""

    def __init__(
        self,
        registry: CollectorRegistry,
        known: KnownLabels,
        health: Health,
        judge: Callable[[], EndpointState | None] = lambda: None,
    ) -> None:
        # The library's extra `_created` series would be undocumented ones beside each counter.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._app = bounded(known.app)
        self._lock = threading.Lock()
        self._consumed = counter(registry, "events_consumed_total")
        self._dead_lettered = counter(registry, "events_dead_lettered_total")
        self._sampled = counter(registry, "traces_sampled_total")
        self._lag = gauge(registry, "consumer_lag")
        self._in_flight = gauge(registry, "events_in_flight").labels(self._app)
        self._verdicts = counter(registry, "verdicts_total")
        self._weighted = counter(registry, "verdicts_weighted_total")
        self._duration = histogram(registry, "scorer_duration_seconds")
        self._tokens = counter(registry, "judge_tokens_total")
        self._delivered = counter(registry, "alerts_delivered_total")
        self._cost = counter(registry, "judge_cost_dollars_total")
        self._lags: Mapping[tuple[str, int], int] = {}
        self._segments: OrderedDict[str, None] = OrderedDict()
        self._scorers = set(known.scorers)
        registry.register(_DependencyUp(self._app, health))
        registry.register(_JudgeEndpoint(self._app, judge))
        self._build_info(registry, known)
        self._initialise(known)

    def _build_info(self, registry: CollectorRegistry, known: KnownLabels) -> None:
        own = (self._app, bounded(known.version), bounded(known.config))
        added = {name: bounded(value) for name, value in known.labels.items() if name not in _BUILD_LABELS}
        gauge(registry, "build_info", tuple(added)).labels(*own, *added.values()).set(1)

    def _initialise(self, known: KnownLabels) -> None:
        for topic in known.topics:
            self.consumed(topic, 0)
        for reason in known.dead_letter_reasons:
            self.dead_lettered(reason, 0)
        for decision, reason in known.sampling:
            self.sampled(decision, reason, 0)
        for scorer in known.scorers:
            self._duration.labels(self._app, bounded(scorer))
            self._count_verdicts(scorer, "all")
        for receiver in known.receivers:
            for outcome in _OUTCOMES:
                self.alert_delivered(receiver, outcome, 0)

    def expect_judges(self, scorers: Iterable[str]) -> None:
        """Begin the counters of the scorers that call a judge, which is known when they are built."""
        for scorer in scorers:
            self.judge_tokens(scorer, 0, 0)

    def consumed(self, topic: str, events: int = 1) -> None:
        """Count events read from the stream."""
        self._consumed.labels(self._app, bounded(topic)).inc(events)

    def dead_lettered(self, reason: str, events: int = 1) -> None:
        """Count events put on the dead-letter topic."""
        self._dead_lettered.labels(self._app, bounded(reason)).inc(events)

    def sampled(self, decision: str, reason: str, traces: int = 1) -> None:
        """Count sampling decisions, by outcome (such as kept, left_out) and reason."""
        self._sampled.labels(self._app, bounded(decision), bounded(reason)).inc(traces)

    def lag(self, lag: Mapping[tuple[str, int], int]) -> None:
        """Set the lag of every partition that this process owns, by (topic, partition); others are not its business."""
        with self._lock:
            for topic, partition in self._lags.keys() - lag.keys():
                self._lag.remove(self._app, bounded(topic), str(partition))
            for (topic, partition), events in lag.items():
                self._lag.labels(self._app, bounded(topic), str(partition)).set(events)
            self._lags = dict(lag)

    def lags(self) -> Mapping[tuple[str, int], int]:
        """The lag of every partition that this process owns, by (topic, partition), as it was last set."""
        return self._lags

    def in_flight(self, events: int) -> None:
        """Set how many events are read and not past the watermark yet."""
        self._in_flight.set(events)

    def verdict(self, scorer: str, label: str, probability: float, segments: Iterable[str] = ()) -> None:
        """Count a verdict (`pass`, `fail`, `error`) in the segment `all` and in the given ones, such as `key=value`.

        `probability` is the inclusion probability; one of 0 weighs nothing. Of all segments the 100 most recently used
        are shown: the quietest makes room for a new one.
        """
        weight = 1.0 / probability if probability > 0 else 0.0
        with self._lock:
            self._scorers.add(scorer)
            for segment in ("all", *segments):
                if segment != "all":
                    self._show(segment)
                self._count_verdicts(scorer, segment)
                values = (self._app, bounded(scorer), bounded(segment), label)
                self._verdicts.labels(*values).inc()
                self._weighted.labels(*values).inc(weight)

    def _show(self, segment: str) -> None:
        self._segments[segment] = None
        self._segments.move_to_end(segment)
        if len(self._segments) > SEGMENTS_SHOWN:
            quietest, _ = self._segments.popitem(last=False)
            for scorer in self._scorers:
                for label in _VERDICTS:
                    values = (self._app, bounded(scorer), bounded(quietest), label)
                    self._verdicts.remove(*values)
                    self._weighted.remove(*values)

    def _count_verdicts(self, scorer: str, segment: str) -> None:
        for label in _VERDICTS:
            values = (self._app, bounded(scorer), bounded(segment), label)
            self._verdicts.labels(*values)
            self._weighted.labels(*values)

    def scored(self, scorer: str, duration_s: float) -> None:
        """Note how long a scorer took for one trace, in seconds."""
        self._duration.labels(self._app, bounded(scorer)).observe(duration_s)

    def judge_tokens(self, scorer: str, read: int | None, written: int | None) -> None:
        """Count the tokens of a judge call; None, where the endpoint did not report them, counts nothing."""
        for direction, tokens in (("input", read), ("output", written)):
            if tokens is not None:
                self._tokens.labels(self._app, bounded(scorer), direction).inc(tokens)

    def judge_cost(self, scorer: str, dollars: float) -> None:
        """Count what a judge call cost."""
        self._cost.labels(self._app, bounded(scorer)).inc(dollars)

    def alert_delivered(self, receiver: str, outcome: str, messages: int = 1) -> None:
        """Count messages that a receiver has `accepted`, or not (`failed`)."""
        self._delivered.labels(self._app, bounded(receiver), outcome).inc(messages)


_CIRCUIT = {"closed": 0.0, "half_open": 0.5, "open": 1.0}


class _DependencyUp(Collector):
    def __init__(self, app: str, health: Health) -> None:
        self._app = app
        self._health = health

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [family("dependency_up")]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = family("dependency_up")
        for name, state in self._health.states().items():
            # Of what nobody has asked yet nothing is known: an alert would name the wrong service.
            if state.tried:
                found.add_metric([self._app, bounded(name)], float(state.up))
        yield found


class _JudgeEndpoint(Collector):
    def __init__(self, app: str, read: Callable[[], EndpointState | None]) -> None:
        self._app = app
        self._read = read

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [family("judge_circuit_open"), family("judge_concurrency_allowed")]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        state = self._read()
        if state is None:
            return
        # The host alone: an address may carry credentials.
        labels = [self._app, bounded(urlsplit(state.endpoint).hostname or "")]
        circuit, allowed = family("judge_circuit_open"), family("judge_concurrency_allowed")
        circuit.add_metric(labels, _CIRCUIT[state.circuit])
        allowed.add_metric(labels, state.allowed)
        yield circuit
        yield allowed
