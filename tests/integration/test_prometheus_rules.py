"""The HTTP port over real HTTP, its exposition and the alerting rules under Prometheus's own promtool."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry

from monitor.clock import ManualClock
from monitor.debt import Debt
from monitor.errors import AddressInUseError
from monitor.exposition import HttpPort, HttpSettings, application
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
)
from monitor.spending import Pot
from scorers.judge_endpoint import EndpointState

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"
RULE_FILES = ("health.rules.yml", "quality.rules.yml")
ENDPOINT = EndpointState(endpoint="http://judge/v1", circuit="closed", opened_for_s=0.0, allowed=8, in_flight=0)
FIGURES = GroupFigures(
    debt=Debt(verdicts=3, seconds=60.0, dollars=0.5),
    pots=[Pot(name="scoring", unit="dollars", limit=20.0, spent=5.0)],
    pass_rates=(PassRateFigure(scorer="safety", segment="all", rate=0.9, verdicts=9, lower=0.8, upper=1.0),),
    targets={"safety": 0.95},
    firing={("production", "safety", "all")},
    dataset_rows={"production": 7},
    candidates=(CandidateFigure(version="v2", scorer="safety", pass_rate=0.5, difference=-0.1, lower=-0.2, upper=0.1),),
    jobs={"evaluation": JobFigure(last_success_s=1.0, deadline_s=2.0)},
    accounted={("safety", "scored"): 4},
    unaccounted={"safety": 0},
    lost={"traces": 0},
    delivery_working=True,
    receivers={"ops": ReceiverState()},
    judges=[JudgeFigure(scorer="safety", agreement=0.9, corrected=0.8, lower=0.7, upper=0.85)],
    evidence={("safety", "all"): 0.5},
    detectable_drop={("safety", "all"): 0.1},
)


def promtool(*arguments: str, text: str | None = None) -> str:
    """Run promtool and return what it printed; it must succeed. Where it lacks the test skips, but fails in CI."""
    path = shutil.which("promtool")
    if path is None:
        lacks = "promtool is not installed (Debian: apt-get install prometheus)"
        if os.environ.get("CI") == "true":
            pytest.fail(lacks)
        pytest.skip(lacks)
    ran = subprocess.run(
        [path, *arguments], input=text, text=True, capture_output=True, timeout=60, check=False, cwd=RULES
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


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
            judges=("safety",),
            dead_letter_reasons=("not_json",),
            sampling=(("kept", "rate"),),
            receivers=("ops",),
        )
        self.metrics = ProcessMetrics(registry, known, self.health, lambda: ENDPOINT)
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


def test_metrics_are_clean_under_promtool_and_complete(daemon: Daemon, http: httpx.Client) -> None:
    """What a real scrape gets passes Prometheus's linter, and holds every declared metric once it has a value."""
    daemon.metrics.lag({("traces", 0): 3})
    daemon.metrics.judge_cost("safety", 0.1)
    daemon.metrics.verdict("safety", "pass", 0.5, ['app_version=quote"and\\slash\nline'])
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    promtool("check", "metrics", text=answer.text)
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


def test_the_rules_and_the_example_configuration_are_valid() -> None:
    """Prometheus loads both files of rules and the example as they are."""
    assert promtool("check", "rules", *RULE_FILES).count("SUCCESS") == len(RULE_FILES)
    promtool("check", "config", "prometheus.example.yml")


def test_the_rules_fire_when_they_should_and_not_otherwise() -> None:
    """Each alert is driven by series of two replicas: it fires once, without instance or pod, and it ends."""
    assert "SUCCESS" in promtool("test", "rules", "tests/rules.test.yml")


def test_every_alert_is_tested_annotated_and_reads_declared_metrics_only() -> None:
    """An alert has a summary, a description, a runbook and a severity, a case in the test file, and real metrics."""
    declared = {each.name for each in METRICS}
    cases = (RULES / "tests" / "rules.test.yml").read_text(encoding="utf-8")
    for name in RULE_FILES:
        groups = yaml.safe_load((RULES / name).read_text(encoding="utf-8"))["groups"]
        for rule in (rule for group in groups for rule in group["rules"]):
            assert set(rule["annotations"]) == {"summary", "description", "runbook"}, rule["alert"]
            assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
            assert rule["alert"] in cases
            assert set(re.findall(r"tracewatch_\w+", rule["expr"])) <= declared, rule["alert"]
