"""The HTTP port over real HTTP, and its exposition under Prometheus's own promtool."""

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from monitor.clock import ManualClock
from monitor.errors import AddressInUseError
from monitor.health import Health
from monitor.http_port.exposition import HttpPort, HttpSettings, application
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
)
from monitor.spend.debt import Debt
from monitor.spend.spending import Pot
from scorers.judge_endpoint import EndpointState

ENDPOINT = EndpointState(endpoint="http://judge/v1", circuit="closed", opened_for_s=0.0, allowed=8, in_flight=0)
FIGURES = GroupFigures(
    debt=Debt(events=0, parked=3, verdicts=3, calls=3, seconds=60.0, dollars=0.5),
    pots=[Pot(name="scoring", unit="dollars", limit=20.0, spent=5.0)],
    pass_rates=(PassRateFigure(scorer="safety", segment="all", rate=0.9, verdicts=9, lower=0.8, upper=1.0),),
    targets={"safety": 0.95},
    firing={("production", "safety", "all")},
    alerts={("production_regression", "safety", "all", "page")},
    dataset_rows={"production": 7},
    candidates=(CandidateFigure(version="v2", scorer="safety", pass_rate=0.5, difference=-0.1, lower=-0.2, upper=0.1),),
    jobs={"evaluation": JobFigure(last_success_s=1.0, deadline_s=2.0)},
    accounted={("safety", "scored"): 4},
    unaccounted={"safety": 0},
    lost={"traces": 0},
    judges=[JudgeFigure(scorer="safety", agreement=0.9, corrected=0.8, lower=0.7, upper=0.85)],
    delivery_working=True,
    receivers={"ops": ReceiverState()},
    evidence={("safety", "all"): 0.5},
    detectable_drop={("safety", "all"): 0.1},
)


class Daemon:
    """What stands behind the port: health, metrics, and whether the threads run."""

    def __init__(self) -> None:
        self.health = Health(("kafka", "ledger"))
        self.running = True
        registry = CollectorRegistry()
        known = KnownLabels(
            app="shop",
            version="1",
            config="c",
            topics=("traces",),
            scorers=("safety",),
            dead_letter_reasons=("not_json",),
            sampling=(("kept", "rate"),),
            receivers=("ops",),
        )
        self.metrics = ProcessMetrics(registry, known, self.health, lambda: ENDPOINT)
        self.metrics.expect_judges(["safety"])
        registry.register(GroupMetrics("shop", lambda: FIGURES, ManualClock()))
        self.app = application(registry, self.health, lambda: self.running)


@pytest.fixture
def daemon() -> Daemon:
    """A daemon of which only the port's side exists."""
    return Daemon()


@pytest.fixture
def http(daemon: Daemon) -> Iterator[httpx.Client]:
    """A client of the port, on a free one."""
    with HttpPort(daemon.app, HttpSettings(port=0)) as port, httpx.Client(base_url=port.address) as client:
        yield client


def test_metrics_are_clean_under_promtool_and_complete(
    daemon: Daemon, http: httpx.Client, promtool: Callable[..., str], tmp_path: Path
) -> None:
    """What a real scrape gets passes Prometheus's linter, and holds every declared metric once it has a value."""
    daemon.metrics.lag({("traces", 0): 3})
    daemon.metrics.judge_cost("safety", 0.1)
    daemon.metrics.verdict("safety", "pass", 0.5, ['app_version=quote"and\\slash\nline'])
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    promtool("check", "metrics", folder=tmp_path, text=answer.text)
    assert {each.name for each in METRICS} == set(re.findall(r"^# TYPE (\S+)", answer.text, re.MULTILINE))


def test_metrics_are_given_as_openmetrics_to_who_asks(http: httpx.Client) -> None:
    """Prometheus asks for OpenMetrics and gets it, end mark included."""
    answer = http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert "_created" not in answer.text


def test_readyz_says_which_dependency_is_away_and_why(daemon: Daemon, http: httpx.Client) -> None:
    """503 with the cause in words until everything has been reached, then 200."""
    daemon.health.up("kafka")
    daemon.health.down("ledger", "connection refused")
    away = http.get("/readyz")
    assert away.status_code == 503
    assert away.json() == {
        "ready": False,
        "dependencies": {
            "kafka": {"up": True, "cause": ""},
            "ledger": {"up": False, "cause": "connection refused"},
        },
    }
    daemon.health.up("ledger")
    assert http.get("/readyz").status_code == 200


def test_healthz_follows_the_threads_and_not_the_dependencies(daemon: Daemon, http: httpx.Client) -> None:
    """A restart cures a dead thread, and does not cure a Kafka that is away."""
    assert http.get("/healthz").status_code == 200
    daemon.running = False
    assert http.get("/healthz").status_code == 503


def test_a_port_that_is_taken_is_named(daemon: Daemon) -> None:
    """The error tells host and port, and nothing listens afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with (
            pytest.raises(AddressInUseError, match=f"127.0.0.1:{number}"),
            HttpPort(daemon.app, HttpSettings(port=number)),
        ):
            pytest.fail("it listens")


def test_the_port_is_free_after_it_was_closed(daemon: Daemon) -> None:
    """Leaving the context ends the server and its thread."""
    with HttpPort(daemon.app, HttpSettings(port=0)) as port:
        address = port.address
        assert port.alive
    assert not port.alive
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/healthz")
