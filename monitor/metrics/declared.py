"""Every metric that Tracewatch exports: the one place that declares them, and the source of `docs/metrics.md`."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily

LABEL_CHARS: Final = 100

Kind = Literal["counter", "gauge", "histogram"]
Scope = Literal["process", "group"]

_DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One metric as exported; the label `app` precedes `labels`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    scope: Scope
    help: str


def _declare(kind: Kind, scope: Scope, name: str, labels: str, text: str) -> Declared:
    return Declared(name=f"tracewatch_{name}", kind=kind, labels=tuple(labels.split()), scope=scope, help=text)


_PROCESS: Final = (
    _declare(
        "counter",
        "process",
        "events_consumed_total",
        "topic",
        "Events read from the stream, redelivered ones included.",
    ),
    _declare(
        "counter",
        "process",
        "events_dead_lettered_total",
        "reason",
        "Events that are no trace events, by what is wrong.",
    ),
    _declare(
        "counter",
        "process",
        "traces_sampled_total",
        "decision reason",
        "Sampling decisions, by outcome and its reason.",
    ),
    _declare(
        "gauge",
        "process",
        "consumer_lag",
        "topic partition",
        "Events of a partition that this process owns and has not read yet.",
    ),
    _declare("gauge", "process", "events_in_flight", "", "Events read and not past the watermark yet."),
    _declare(
        "counter",
        "process",
        "verdicts_total",
        "scorer segment verdict",
        "Verdicts recorded, by segment (all, or key=value) and verdict (pass, fail, error).",
    ),
    _declare(
        "counter",
        "process",
        "verdicts_weighted_total",
        "scorer segment verdict",
        "The same, each verdict weighted by the inverse of its inclusion probability: build SLOs on this one.",
    ),
    _declare(
        "histogram",
        "process",
        "scorer_duration_seconds",
        "scorer",
        "Time a scorer took for one trace, the wait for a free slot at the judge included.",
    ),
    _declare(
        "counter",
        "process",
        "judge_tokens_total",
        "scorer direction",
        "Tokens that the judge read (input) and wrote (output), as its endpoint reports them.",
    ),
    _declare(
        "counter",
        "process",
        "judge_cost_dollars_total",
        "scorer",
        "Cost of judge calls, estimated where no tokens are reported; absent where no price is configured.",
    ),
    _declare(
        "gauge",
        "process",
        "dependency_up",
        "dependency",
        "1 while the dependency answers, 0 while the daemon waits for it; none before it was asked.",
    ),
    _declare(
        "gauge",
        "process",
        "judge_circuit_open",
        "endpoint",
        "1 while no call is made to the judge's endpoint because it failed for all, 0.5 while it is probed, else 0.",
    ),
    _declare(
        "gauge",
        "process",
        "judge_concurrency_allowed",
        "endpoint",
        "Calls to the judge's endpoint that may be under way at once, as far as it takes them.",
    ),
    _declare(
        "counter",
        "process",
        "alerts_delivered_total",
        "receiver outcome",
        "Messages about alerts, reminders included: accepted by the receiver, or failed and to be tried again.",
    ),
    _declare(
        "gauge",
        "process",
        "build_info",
        "version config",
        "Always 1: the release, and the digest of the configuration; the configured labels follow.",
    ),
)

_GROUP: Final = (
    _declare(
        "gauge",
        "group",
        "pass_rate",
        "scorer segment",
        "Share of production traces that pass, weighted by inverse inclusion probability; error verdicts are left out, "
        "and so are series without a verdict in the last two windows.",
    ),
    _declare("gauge", "group", "pass_rate_lower", "scorer segment", "Lower bound of the pass rate."),
    _declare("gauge", "group", "pass_rate_upper", "scorer segment", "Upper bound of the pass rate."),
    _declare("gauge", "group", "target", "scorer", "The pass rate that the configuration asks for."),
    _declare(
        "gauge",
        "group",
        "regression",
        "kind scorer segment",
        "1 while an alert fires, by kind (production, candidate); a candidate's segment is version=NAME.",
    ),
    _declare(
        "gauge",
        "group",
        "alert_firing",
        "kind scorer segment severity",
        "1 for each alert of any kind that fires, with the severity that the configuration gives it.",
    ),
    _declare(
        "gauge", "group", "regression_evidence", "scorer segment", "Evidence against the reference; the alarm is at 1."
    ),
    _declare(
        "gauge", "group", "detectable_drop", "scorer segment", "Smallest fall of the pass rate that would be found."
    ),
    _declare("gauge", "group", "dataset_rows", "dataset", "Rows of the evaluation dataset."),
    _declare(
        "gauge",
        "group",
        "candidate_pass_rate",
        "version scorer",
        "Pass rate, or mean score of a scorer with limits, of an app version in the latest evaluation.",
    ),
    _declare(
        "gauge",
        "group",
        "candidate_difference",
        "version scorer",
        "Candidate's pass rate or mean score minus the baseline's, over the same rows.",
    ),
    _declare("gauge", "group", "candidate_difference_lower", "version scorer", "Lower bound of the difference."),
    _declare("gauge", "group", "candidate_difference_upper", "version scorer", "Upper bound of the difference."),
    _declare(
        "gauge",
        "group",
        "job_last_success_timestamp_seconds",
        "job",
        "When a scheduled job last succeeded (the label is exported_job where the scrape does not honour labels).",
    ),
    _declare(
        "gauge",
        "group",
        "job_deadline_timestamp_seconds",
        "job",
        "When a scheduled job is overdue unless it succeeds before.",
    ),
    _declare(
        "gauge",
        "group",
        "debt_events",
        "",
        "Events that wait in the stream, as last seen by who reads them; absent while nobody has looked lately.",
    ),
    _declare(
        "gauge",
        "group",
        "debt_verdicts",
        "",
        "Verdicts that are owed: parked, or asked for by the events that wait if those are like the events before.",
    ),
    _declare(
        "gauge",
        "group",
        "debt_judge_calls",
        "",
        "Judge calls that they take; absent while none was made today.",
    ),
    _declare(
        "gauge",
        "group",
        "debt_seconds",
        "",
        "Until they are worked off at the pace of the last 15 minutes; absent while nothing is judged.",
    ),
    _declare(
        "gauge",
        "group",
        "debt_dollars",
        "",
        "What they cost at today's price of a call; absent while that is not known.",
    ),
    _declare(
        "gauge",
        "group",
        "spend_today",
        "pot unit",
        "Calls or dollars that a pot has spent since midnight UTC, with what is set aside for calls under way.",
    ),
    _declare(
        "gauge",
        "group",
        "spend_limit",
        "pot unit",
        "Calls or dollars that a pot holds a day, as spend.per_day and spend.evaluation_share say.",
    ),
    _declare(
        "gauge",
        "group",
        "events_accounted",
        "scorer outcome",
        "Events past the watermarks, by what became of them for each scorer.",
    ),
    _declare(
        "gauge",
        "group",
        "events_unaccounted",
        "scorer",
        "Events past the watermarks minus those accounted for: anything but 0 is a defect.",
    ),
    _declare(
        "gauge",
        "group",
        "delivery_working",
        "",
        "1 while alerts need nobody else to tell of them: the Alertmanagers that get pages on quality work, or where "
        "none gets them all other receivers of such pages; or alerts are only observed. 0 while one of them fails, or "
        "nobody gets such pages.",
    ),
    _declare(
        "gauge",
        "group",
        "receiver_working",
        "receiver",
        "1 while the receiver accepts what it is told; 0 after three failures in a row, or when it owes an answer for "
        "two minutes.",
    ),
    _declare(
        "gauge",
        "group",
        "alerts_undelivered",
        "receiver",
        "Messages about alerts that the receiver has not accepted yet.",
    ),
    _declare(
        "gauge",
        "group",
        "events_lost_to_retention",
        "topic",
        "Events that the stream's retention deleted before they were read, since the ledger began.",
    ),
    _declare(
        "gauge",
        "group",
        "judge_agreement",
        "scorer",
        "Share of people's labels on traces drawn at random that say what the scorer said, 0 to 1.",
    ),
    _declare(
        "gauge",
        "group",
        "corrected_pass_rate",
        "scorer",
        "Pass rate that people would have given all judged traffic, by their labels on traces drawn at random.",
    ),
    _declare("gauge", "group", "corrected_pass_rate_lower", "scorer", "Lower bound of that rate, 95 %."),
    _declare("gauge", "group", "corrected_pass_rate_upper", "scorer", "Upper bound of that rate, 95 %."),
)

METRICS: Final[tuple[Declared, ...]] = _PROCESS + _GROUP
_BY_NAME: Final = {each.name.removeprefix("tracewatch_"): each for each in METRICS}


def bounded(value: str) -> str:
    """A label value of at most 100 characters that UTF-8 can carry; long values that differ stay different."""
    text = value.encode("utf-8", "replace").decode()
    if len(text) <= LABEL_CHARS:
        return text
    digest = sha256(text.encode()).hexdigest()[:8]
    return f"{text[: LABEL_CHARS - len(digest) - 1]}~{digest}"


def counter(registry: CollectorRegistry, name: str) -> Counter:
    """The declared counter of this name (without the prefix), on the registry."""
    declared = _BY_NAME[name]
    return Counter(declared.name, declared.help, ("app", *declared.labels), registry=registry)


def gauge(registry: CollectorRegistry, name: str, more_labels: tuple[str, ...] = ()) -> Gauge:
    """The declared gauge of this name (without the prefix), on the registry."""
    declared = _BY_NAME[name]
    return Gauge(declared.name, declared.help, ("app", *declared.labels, *more_labels), registry=registry)


def histogram(registry: CollectorRegistry, name: str) -> Histogram:
    """The declared histogram of this name (without the prefix), on the registry; its unit is seconds."""
    declared = _BY_NAME[name]
    labels = ("app", *declared.labels)
    return Histogram(declared.name, declared.help, labels, registry=registry, buckets=_DURATION_BUCKETS)


def family(name: str) -> GaugeMetricFamily:
    """The declared gauge of this name (without the prefix), without samples, for a collector to fill."""
    declared = _BY_NAME[name]
    return GaugeMetricFamily(declared.name, declared.help, labels=("app", *declared.labels))


_HEAD: Final = """# Metrics

<!-- Generated from monitor/metrics/declared.py by `python -m monitor.metrics docs/metrics.md`. -->

The first label of every metric is `app`. Label values have at most 100 characters. Segments are written `all` or
`key=value`. A metric without a value is absent, never 0.
"""

_OF_SCOPE: Final[dict[Scope, str]] = {
    "process": """
## Of each process

Sum these over replicas: `sum without (instance, pod) (...)`.
""",
    "group": """
## Of the group

Every replica reads these from the ledger at most every 15 seconds, and drops them 60 seconds after the ledger last
answered. All replicas say the same: read them through `max without (instance, pod) (...)`. Prometheus renames the label
`job` to `exported_job` unless the scrape has `honor_labels: true`.
""",
}


def describe() -> str:
    """The documentation of all metrics, as Markdown."""
    parts = [_HEAD]
    for scope, head in _OF_SCOPE.items():
        parts += [head, "\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n"]
        parts += [_row(each) for each in METRICS if each.scope == scope]
    return "".join(parts)


def _row(declared: Declared) -> str:
    labels = ", ".join(f"`{label}`" for label in ("app", *declared.labels))
    return f"| `{declared.name}` | {declared.kind} | {labels} | {declared.help} |\n"
