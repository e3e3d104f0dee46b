"""Applications as Prometheus sees them: real `/metrics` ports with figures such as a busy day leaves.

`shop` has two replicas, a regression in its newest version, a candidate that is worse, and debt; `mail` has one, is
well, and has trouble with its stream alone. `shop` has two pages, `mail` two tickets and no page. Every scrape finds
more traffic than the one before.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor.clock import SystemClock
from monitor.health import Health
from monitor.http_port.exposition import HttpPort, HttpSettings, application
from monitor.metrics import (
    CandidateFigure,
    GroupFigures,
    GroupMetrics,
    JobFigure,
    JudgeFigure,
    KnownLabels,
    PassRateFigure,
    ProcessMetrics,
)
from monitor.spend.debt import Debt
from monitor.spend.spending import Pot
from scorers.judge_endpoint import EndpointState

ENDPOINT = EndpointState(endpoint="http://judge.example/v1", circuit="closed", opened_for_s=0, allowed=8, in_flight=2)
SEGMENTS = ("app_version=v1", "app_version=v2")
TIMES_S = (0.2, 0.4, 0.9, 1.7, 4.0)


@dataclass(frozen=True, kw_only=True)
class Application:
    """One application: its replicas, and what the ledger says of it."""

    app: str
    replicas: int
    judges: Sequence[str]
    figures: GroupFigures
    failing: Mapping[str, int]
    """Scorer -> how many of a scrape's ten verdicts fail."""


class Traffic(Collector):
    """What a process did since the last scrape: ten events, judged by every scorer."""

    def __init__(self, metrics: ProcessMetrics, application: Application, replica: int) -> None:
        self._metrics = metrics
        self._application = application
        self._replica = replica

    def describe(self) -> Iterable[Metric]:
        """Nothing of its own."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Count the traffic; no metric of its own."""
        metrics = self._metrics
        metrics.consumed("traces", 40)
        metrics.dead_lettered("not_json")
        metrics.sampled("kept", "rate", 10)
        metrics.sampled("left_out", "rate", 30)
        metrics.lag({("traces", self._replica): 120 + self._replica})
        metrics.in_flight(7)
        for scorer, failing in self._application.failing.items():
            for number in range(10):
                label = "fail" if number < failing else "pass"
                metrics.verdict(scorer, label, 0.25, [SEGMENTS[number % 2]])
                metrics.scored(scorer, TIMES_S[number % len(TIMES_S)])
            metrics.verdict(scorer, "error", 0.25, [SEGMENTS[0]])
        for judge in self._application.judges:
            metrics.judge_tokens(judge, 9000, 700)
            metrics.judge_cost(judge, 0.004)
        yield from ()


def _rates(scorer: str, rate: float, newest: float) -> list[PassRateFigure]:
    return [
        PassRateFigure(
            scorer=scorer, segment=segment, rate=value, verdicts=800, lower=value - 0.03, upper=min(value + 0.02, 1.0)
        )
        for segment, value in (("all", rate), (SEGMENTS[0], rate + 0.01), (SEGMENTS[1], newest))
    ]


def shop(*, delivery: bool = True) -> Application:
    """An application in trouble; `delivery` says whether its pages reach a receiver."""
    now_s = time.time()
    grounded, greets = "retrieval_groundedness", "greets"
    return Application(
        app="shop",
        replicas=2,
        judges=(grounded,),
        failing={grounded: 4, greets: 1},
        figures=GroupFigures(
            pass_rates=[*_rates(grounded, 0.72, 0.55), *_rates(greets, 0.94, 0.93)],
            targets={grounded: 0.95, greets: 0.9},
            firing={("production", grounded, SEGMENTS[1]), ("candidate", greets, "version=v3")},
            alerts={
                ("production_regression", grounded, SEGMENTS[1], "page"),
                ("lost_to_retention", "", "all", "page"),
                ("candidate_regression", greets, "version=v3", "ticket"),
            },
            delivery_working=delivery,
            dataset_rows={"production": 500},
            candidates=[CandidateFigure(version="v2", scorer=scorer, pass_rate=0.8) for scorer in (grounded, greets)]
            + [
                CandidateFigure(
                    version="v3", scorer=scorer, pass_rate=rate, difference=rate - 0.8, lower=rate - 0.9, upper=0.02
                )
                for scorer, rate in ((grounded, 0.79), (greets, 0.6))
            ],
            jobs={
                "evaluation": JobFigure(last_success_s=now_s - 3600, deadline_s=now_s + 3600),
                "alerts": JobFigure(last_success_s=now_s - 10, deadline_s=now_s + 20),
            },
            accounted={(scorer, outcome): 4000 for scorer in (grounded, greets) for outcome in ("scored", "parked")},
            unaccounted={grounded: 0, greets: 0},
            debt=Debt(events=0, parked=130, verdicts=130, calls=130, seconds=5400.0, dollars=1.25),
            pots=[
                Pot(name="scoring", unit="dollars", limit=20.0, spent=17.0),
                Pot(name="evaluation", unit="dollars", limit=5.0, spent=1.0),
            ],
            lost={"traces": 0},
            judges=[JudgeFigure(scorer=grounded, agreement=0.9, corrected=0.7, lower=0.6, upper=0.8)],
            evidence={(grounded, "all"): 0.8, (grounded, SEGMENTS[1]): 1.0, (greets, "all"): 0.01},
            detectable_drop={(grounded, "all"): 0.04, (greets, "all"): 0.03},
        ),
    )


def mail() -> Application:
    """An application whose answers are well."""
    now_s = time.time()
    return Application(
        app="mail",
        replicas=1,
        judges=("tone",),
        failing={"tone": 0},
        figures=GroupFigures(
            pass_rates=_rates("tone", 0.98, 0.98),
            targets={"tone": 0.9},
            alerts={("consumer_lag", "", "all", "ticket"), ("dead_letters", "", "all", "ticket")},
            delivery_working=True,
            dataset_rows={"production": 300},
            jobs={"evaluation": JobFigure(last_success_s=now_s - 60, deadline_s=now_s + 7200)},
            accounted={("tone", "scored"): 900},
            unaccounted={"tone": 0},
            debt=Debt(events=0, parked=0, verdicts=0, calls=0, seconds=0.0, dollars=0.0),
            lost={"traces": 0},
            evidence={("tone", "all"): 0.001},
            detectable_drop={("tone", "all"): 0.03},
        ),
    )


@contextmanager
def exposed(*applications: Application) -> Iterator[list[str]]:
    """Serve every replica's metrics, and give the `host:port` of each."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(_port(application_, replica)).address.removeprefix("http://")
            for application_ in applications
            for replica in range(application_.replicas)
        ]


def _port(application_: Application, replica: int) -> HttpPort:
    registry, health = CollectorRegistry(), Health(("kafka", "mlflow", "ledger", "judge"))
    for name in health.states():
        health.up(name)
    known = KnownLabels(
        app=application_.app,
        version="0.1.0",
        config="c0ffee",
        topics=("traces",),
        scorers=list(application_.failing),
        dead_letter_reasons=("not_json",),
        sampling=(("kept", "rate"), ("left_out", "rate")),
        labels={"team": "growth"},
    )
    metrics = ProcessMetrics(registry, known, health, lambda: ENDPOINT)
    metrics.expect_judges(application_.judges)
    registry.register(GroupMetrics(application_.app, lambda: application_.figures, SystemClock()))
    registry.register(Traffic(metrics, application_, replica))
    return HttpPort(application(registry, health, lambda: True), HttpSettings(port=0))


def scraping(targets: Sequence[str], *more: str) -> str:
    """A configuration of Prometheus that scrapes these every second; `more` are further lines."""
    lines = [
        "global: {scrape_interval: 1s, evaluation_interval: 1s}",
        *more,
        "scrape_configs:",
        "  - job_name: tracewatch",
        "    static_configs:",
        f"      - targets: [{', '.join(repr(target) for target in targets)}]",
    ]
    return "\n".join(lines) + "\n"
