"""The metrics: names, labels, initial values, bounds, and the figures of the group."""

from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitor.clock import ManualClock
from monitor.errors import ServiceUnavailable
from monitor.health import Health
from monitor.ledger.rows import ReceiverState
from monitor.metrics import (
    METRICS,
    CandidateFigure,
    GroupFigures,
    GroupMetrics,
    JobFigure,
    JudgeFigure,
    KnownLabels,
    PassRateFigure,
    ProcessMetrics,
    bounded,
    describe,
)
from monitor.metrics.process import SEGMENTS_SHOWN
from monitor.spend.debt import Debt
from monitor.spend.spending import Pot
from scorers.judge_endpoint import EndpointState

KNOWN = KnownLabels(
    app="shop",
    version="1.0",
    config="abc",
    topics=("traces",),
    scorers=("safety", "greets"),
    dead_letter_reasons=("not_json",),
    sampling=(("kept", "rate"),),
    receivers=("ops",),
    labels={"team": "growth"},
)
FIGURES = GroupFigures(
    debt=Debt(events=0, parked=3, verdicts=3, calls=3, seconds=60.0, dollars=0.5),
    pots=[Pot(name="scoring", unit="dollars", limit=20.0, spent=5.0)],
    pass_rates=(
        PassRateFigure(scorer="safety", segment="all", rate=0.9, verdicts=10, lower=0.8),
        PassRateFigure(scorer="safety", segment="app_version=v1", rate=0.8, verdicts=5),
    ),
    targets={"safety": 0.95},
    firing={("production", "safety", "all"), ("candidate", "safety", "version=v2")},
    alerts={("production_regression", "safety", "all", "page"), ("lost_to_retention", "", "all", "page")},
    dataset_rows={"production": 7},
    candidates=(
        CandidateFigure(version="v1", scorer="safety", pass_rate=1.0),
        CandidateFigure(version="v2", scorer="safety", pass_rate=0.5, difference=-0.5, lower=-0.8, upper=-0.1),
        CandidateFigure(version="v3", scorer="safety", pass_rate=1.0, difference=0.0),
    ),
    jobs={"evaluation": JobFigure(last_success_s=100.0, deadline_s=None)},
    accounted={("safety", "scored"): 4},
    unaccounted={"safety": 0},
    lost={"traces": 3},
    judges=[JudgeFigure(scorer="safety", agreement=0.9, corrected=0.8, lower=0.7, upper=0.85)],
    delivery_working=False,
    receivers={"ops": ReceiverState(owed=2, failing=True), "chat": ReceiverState()},
    evidence={("safety", "all"): 0.25},
    detectable_drop={("safety", "all"): 0.05},
)


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of the test's own."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ProcessMetrics:
    """Metrics of a process that has just started and reached its broker."""
    health = Health(("kafka", "ledger"))
    health.up("kafka")
    started = ProcessMetrics(registry, KNOWN, health, lambda: JUDGE)
    started.expect_judges(["safety"])
    return started


JUDGE = EndpointState(
    endpoint="https://user:secret@judge.example/v1", circuit="open", opened_for_s=3.0, allowed=4, in_flight=0
)


def test_the_judges_endpoint_is_named_by_its_host_alone(registry: CollectorRegistry, metrics: ProcessMetrics) -> None:
    """An address may hold credentials."""
    del metrics
    assert value(registry, "judge_circuit_open", endpoint="judge.example") == 1
    assert value(registry, "judge_concurrency_allowed", endpoint="judge.example") == 4
    assert "secret" not in generate_latest(registry).decode()


class Ledger:
    """A source of figures that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.reads = 0

    def read(self) -> GroupFigures:
        """The figures, or the error of a database that is away."""
        self.reads += 1
        if self.away:
            raise ServiceUnavailable("ledger: connection refused")
        return FIGURES


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """The sample of this name (without the prefix) and labels (without app), None where there is none."""
    return registry.get_sample_value(f"tracewatch_{name}", {"app": "shop", **labels})


def test_docs_metrics_md_is_generated_from_the_declarations() -> None:
    """The documentation in the repository is what the module writes: nobody edits one without the other."""
    path = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert path.read_text(encoding="utf-8") == describe(), "run: python -m monitor.metrics docs/metrics.md"


def test_every_exported_metric_is_declared_with_its_type_and_labels(
    registry: CollectorRegistry, metrics: ProcessMetrics
) -> None:
    """Once everything has a value, the exposition holds exactly the declared names, types and labels, app first."""
    registry.register(GroupMetrics("shop", Ledger().read, ManualClock()))
    metrics.lag({("traces", 0): 1})
    metrics.judge_cost("safety", 0.1)
    exposed = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        exposed[name] = (family.type, set(family.samples[0].labels) - {"le", "team"})
    without_value = {"tracewatch_pass_rate_upper", "tracewatch_job_deadline_timestamp_seconds"}
    declared = {each.name: (each.kind, {"app", *each.labels}) for each in METRICS if each.name not in without_value}
    assert exposed == declared


def test_counters_are_zero_before_their_first_use(registry: CollectorRegistry, metrics: ProcessMetrics) -> None:
    """An increase from 0 to 1 is seen by increase(); one from nothing is not, so known label sets exist at start."""
    assert metrics is not None
    assert value(registry, "events_consumed_total", topic="traces") == 0
    assert value(registry, "events_dead_lettered_total", reason="not_json") == 0
    assert value(registry, "traces_sampled_total", decision="kept", reason="rate") == 0
    for verdict in ("pass", "fail", "error"):
        assert value(registry, "verdicts_total", scorer="greets", segment="all", verdict=verdict) == 0
        assert value(registry, "verdicts_weighted_total", scorer="greets", segment="all", verdict=verdict) == 0
    assert value(registry, "scorer_duration_seconds_count", scorer="greets") == 0
    assert value(registry, "judge_tokens_total", scorer="safety", direction="input") == 0
    assert value(registry, "judge_tokens_total", scorer="greets", direction="input") is None
    assert value(registry, "judge_cost_dollars_total", scorer="safety") is None
    for outcome in ("accepted", "failed"):
        assert value(registry, "alerts_delivered_total", receiver="ops", outcome=outcome) == 0
    assert value(registry, "build_info", version="1.0", config="abc", team="growth") == 1


def test_a_verdict_counts_in_all_and_its_segments_with_its_weight(
    registry: CollectorRegistry, metrics: ProcessMetrics
) -> None:
    """The plain counter counts one, the weighted one 1 / probability; a probability of 0 weighs nothing."""
    metrics.verdict("safety", "pass", 0.25, ["app_version=v2"])
    metrics.verdict("safety", "pass", 0.0)
    for segment, count in (("all", 2), ("app_version=v2", 1)):
        labels = {"scorer": "safety", "segment": segment, "verdict": "pass"}
        assert value(registry, "verdicts_total", **labels) == count
        assert value(registry, "verdicts_weighted_total", **labels) == 4.0
    assert value(registry, "verdicts_total", scorer="safety", segment="app_version=v2", verdict="fail") == 0


def test_segments_are_bounded_in_number_and_the_quietest_makes_room(
    registry: CollectorRegistry, metrics: ProcessMetrics
) -> None:
    """However many values a segment takes, 100 are shown, and the newest is one of them."""
    for number in range(SEGMENTS_SHOWN):
        metrics.verdict("safety", "pass", 1.0, [f"v={number}"])
    metrics.verdict("greets", "pass", 1.0, ["v=0"])
    metrics.verdict("safety", "fail", 1.0, ["v=new"])
    shown = {
        segment: value(registry, "verdicts_total", scorer="safety", segment=segment, verdict="fail")
        for segment in ("v=0", "v=1", "v=new")
    }
    assert shown == {"v=0": 0, "v=1": None, "v=new": 1}
    assert value(registry, "verdicts_total", scorer="safety", segment="all", verdict="pass") == SEGMENTS_SHOWN


def test_lag_is_told_of_the_partitions_owned_and_no_others(
    registry: CollectorRegistry, metrics: ProcessMetrics
) -> None:
    """A partition that went to another replica would be counted twice if its last lag stayed."""
    metrics.lag({("traces", 0): 5, ("traces", 1): 6})
    metrics.lag({("traces", 1): 7})
    assert value(registry, "consumer_lag", topic="traces", partition="0") is None
    assert value(registry, "consumer_lag", topic="traces", partition="1") == 7
    metrics.in_flight(3)
    assert value(registry, "events_in_flight") == 3


def test_dependency_up_follows_health(registry: CollectorRegistry) -> None:
    """The gauge is read from Health at each scrape; of a dependency that nobody has asked yet it says nothing."""
    health = Health(("kafka", "ledger", "judge"))
    ProcessMetrics(registry, KNOWN, health)
    health.up("kafka")
    health.down("ledger", "connection refused")
    assert value(registry, "dependency_up", dependency="kafka") == 1
    assert value(registry, "dependency_up", dependency="ledger") == 0
    assert value(registry, "dependency_up", dependency="judge") is None


def test_tokens_that_no_endpoint_reported_are_not_counted(registry: CollectorRegistry, metrics: ProcessMetrics) -> None:
    """None is unknown, not 0, and does not break the count."""
    metrics.judge_tokens("safety", 12, None)
    metrics.scored("safety", 0.3)
    assert value(registry, "judge_tokens_total", scorer="safety", direction="input") == 12
    assert value(registry, "judge_tokens_total", scorer="safety", direction="output") == 0
    assert value(registry, "scorer_duration_seconds_bucket", scorer="safety", le="0.5") == 1
    assert value(registry, "scorer_duration_seconds_bucket", scorer="safety", le="0.25") == 0


def test_label_values_are_bounded_distinct_and_encodable(registry: CollectorRegistry, metrics: ProcessMetrics) -> None:
    """A tag of any length or with a lone surrogate neither breaks the exposition nor merges with its neighbour."""
    long = "x" * 500
    assert len(bounded(long)) == 100
    assert bounded(long + "a") != bounded(long + "b")
    assert bounded("x" * 100) == "x" * 100
    metrics.verdict("safety", "pass", 1.0, ["v=\ud800", f"v={long}"])
    assert b"v=?" in generate_latest(registry)


def test_the_groups_figures_are_exported_and_what_is_unknown_is_absent(registry: CollectorRegistry) -> None:
    """Each figure has its gauge; a bound or a difference that nobody knows is missing, never 0."""
    registry.register(GroupMetrics("shop", Ledger().read, ManualClock()))
    safety = {"scorer": "safety"}
    assert value(registry, "pass_rate", **safety, segment="all") == 0.9
    assert value(registry, "pass_rate_lower", **safety, segment="all") == 0.8
    assert value(registry, "pass_rate_lower", **safety, segment="app_version=v1") is None
    assert value(registry, "target", **safety) == 0.95
    assert value(registry, "dataset_rows", dataset="production") == 7
    assert value(registry, "candidate_pass_rate", version="v1", **safety) == 1.0
    assert value(registry, "candidate_difference", version="v1", **safety) is None
    assert value(registry, "candidate_difference_upper", version="v2", **safety) == -0.1
    assert value(registry, "job_last_success_timestamp_seconds", job="evaluation") == 100.0
    assert value(registry, "events_accounted", **safety, outcome="scored") == 4
    assert value(registry, "events_unaccounted", **safety) == 0
    assert value(registry, "events_lost_to_retention", topic="traces") == 3
    assert value(registry, "regression_evidence", **safety, segment="all") == 0.25


def test_regression_is_one_while_firing_and_zero_for_what_is_watched(registry: CollectorRegistry) -> None:
    """A series that is watched and quiet shows 0, so that a rule can tell quiet from unwatched."""
    registry.register(GroupMetrics("shop", Ledger().read, ManualClock()))

    def regression(kind: str, segment: str) -> float | None:
        return value(registry, "regression", kind=kind, scorer="safety", segment=segment)

    assert regression("production", "all") == 1
    assert regression("production", "app_version=v1") == 0
    assert regression("candidate", "version=v2") == 1
    assert regression("candidate", "version=v3") == 0
    assert regression("candidate", "version=v1") is None


def test_every_alert_that_fires_is_shown_with_its_severity(registry: CollectorRegistry) -> None:
    """Rules can tell a page from a ticket, and an alert about no scorer has an empty one."""
    registry.register(GroupMetrics("shop", Ledger().read, ManualClock()))
    regression = {"kind": "production_regression", "scorer": "safety", "segment": "all"}
    assert value(registry, "alert_firing", **regression, severity="page") == 1
    assert value(registry, "alert_firing", **regression, severity="ticket") is None
    assert value(registry, "alert_firing", kind="lost_to_retention", scorer="", segment="all", severity="page") == 1


@pytest.mark.parametrize(("working", "shown"), [(True, 1.0), (False, 0.0), (None, None)])
def test_delivery_works_or_does_not_or_is_not_known(
    registry: CollectorRegistry, working: bool | None, shown: float | None
) -> None:
    """What is not known is absent and no 0, which means that a receiver fails or that there is none."""
    registry.register(GroupMetrics("shop", lambda: GroupFigures(delivery_working=working), ManualClock()))
    assert value(registry, "delivery_working") == shown


def test_figures_are_read_once_in_fifteen_seconds(registry: CollectorRegistry) -> None:
    """Many scrapers cost the ledger one read; registering costs none."""
    clock, ledger = ManualClock(), Ledger()
    registry.register(GroupMetrics("shop", ledger.read, clock))
    assert ledger.reads == 0
    for seconds, reads in ((0, 1), (14, 1), (1, 2), (15, 3)):
        clock.advance(timedelta(seconds=seconds))
        generate_latest(registry)
        assert ledger.reads == reads


def test_figures_are_gone_sixty_seconds_after_the_ledger_and_come_back_with_it(registry: CollectorRegistry) -> None:
    """Old figures are shown for a minute, then nothing is claimed until the ledger answers."""
    clock, ledger = ManualClock(), Ledger()
    registry.register(GroupMetrics("shop", ledger.read, clock))
    generate_latest(registry)
    ledger.away = True
    clock.advance(timedelta(seconds=60))
    assert value(registry, "target", scorer="safety") == 0.95
    clock.advance(timedelta(seconds=1))
    assert value(registry, "target", scorer="safety") is None
    ledger.away = False
    clock.advance(timedelta(seconds=15))
    assert value(registry, "target", scorer="safety") == 0.95


def test_a_ledger_that_was_never_reached_gives_no_figures(registry: CollectorRegistry) -> None:
    """A process that starts without its ledger still answers a scrape, without figures of the group."""
    ledger = Ledger()
    ledger.away = True
    registry.register(GroupMetrics("shop", ledger.read, ManualClock()))
    assert generate_latest(registry) == b""


def test_the_groups_segments_are_bounded_and_all_is_always_shown(registry: CollectorRegistry) -> None:
    """Of too many segments those with the most verdicts are shown, beside all."""
    series = [PassRateFigure(scorer="s", segment=f"v={n}", rate=1.0, verdicts=n) for n in range(150)]
    series.append(PassRateFigure(scorer="s", segment="all", rate=1.0, verdicts=0))
    registry.register(GroupMetrics("shop", lambda: GroupFigures(pass_rates=series), ManualClock()))
    shown = {family.name: len(family.samples) for family in registry.collect()}
    assert shown["tracewatch_pass_rate"] == 101
    assert value(registry, "pass_rate", scorer="s", segment="all") == 1.0
    assert value(registry, "pass_rate", scorer="s", segment="v=49") is None
    assert value(registry, "pass_rate", scorer="s", segment="v=50") == 1.0
