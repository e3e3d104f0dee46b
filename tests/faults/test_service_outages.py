"""Each service absent at the start, cut off, slow, silent, or torn in the middle of a message, while events flow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from monitor.ledger.ledger import Ledger, open_ledger
from tests.acceptance.running_daemon import RunningDaemon, running
from tests.faults.databases import fresh_database
from tests.faults.event_load import EventLoad, publish_events
from tests.faults.extent import FULL, choose
from tests.faults.fault_figures import FaultFigures
from tests.faults.pauses import hold
from tests.faults.service_stage import SCORERS, Services, assessments_of, services_behind_proxies
from tests.faults.tcp_proxy import TcpProxy

# In the order in which a daemon that starts asks for them.
SERVICES = ("ledger", "mlflow", "judge", "kafka")
HOLD_S = choose(short=0.5, full=15.0)
TORN = choose(short=3, full=12)
ABSENT = 10

FAULTS: Mapping[str, Callable[[TcpProxy], None]] = {
    "cut": TcpProxy.cut,
    "delay": lambda proxy: proxy.delay(0.3),
    "swallow": TcpProxy.swallow,
    "halve": TcpProxy.halve,
}
EVERY_PAIR = [(service, fault) for service in SERVICES for fault in FAULTS]
TELLING_PAIRS = [
    ("kafka", "cut"),
    ("kafka", "halve"),
    ("mlflow", "halve"),
    ("judge", "cut"),
    ("ledger", "halve"),
]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The daemon, its services, and a look into its ledger past the proxy."""

    services: Services
    daemon: RunningDaemon
    ledger: Ledger
    causes_at_start: Mapping[str, str]
    came_s: float

    def state_of(self, service: str) -> dict[str, Any]:
        state: dict[str, Any] = self.daemon.readiness()[1]["dependencies"][service]
        return state

    def received(self) -> int:
        return self.ledger.positions.received()

    def settled(self, received: int) -> None:
        """Return when so many events are past the watermark, shown in MLflow, and the daemon is ready."""
        self.daemon.eventually(lambda: self.received() == received, "every event past the watermark")
        self.daemon.eventually(lambda: not self.ledger.intake.unpublished(1), "every verdict published")
        self.daemon.eventually(lambda: self.daemon.readiness()[0] == 200, "ready again")


@pytest.fixture(scope="module")
def stage(tmp_path_factory, mlflow_server, postgres_url) -> Iterator[Stage]:
    """A daemon that was started while nothing answered, and whose services then came one after the other."""
    folder = tmp_path_factory.mktemp("outages")
    with (
        fresh_database(postgres_url) as ledger_url,
        services_behind_proxies(folder, mlflow_server, ledger_url) as services,
    ):
        for proxy in services.proxies.values():
            proxy.cut()
        publish_events(services.direct_source(), [f"absent-{number}" for number in range(ABSENT)])
        with running(services.config()) as daemon:
            causes = dict(_come_one_by_one(services, daemon))
            came_s = time.monotonic()
            ledger = open_ledger(ledger_url)
            yield Stage(services=services, daemon=daemon, ledger=ledger, causes_at_start=causes, came_s=came_s)
            ledger.close()


def _come_one_by_one(services: Services, daemon: RunningDaemon) -> Iterator[tuple[str, str]]:
    for service in SERVICES:

        def cause(service: str = service) -> str:
            return str(daemon.readiness()[1]["dependencies"][service]["cause"])

        daemon.eventually(lambda cause=cause: "refused" in cause().lower(), f"{service} is waited for")
        yield service, cause()
        services.proxies[service].pass_on()


def test_services_that_are_absent_at_the_start_are_waited_for(stage: Stage) -> None:
    """One after the other, each named with its cause; what was in the topic all along is taken up."""
    stage.settled(ABSENT)
    recovered_s = time.monotonic() - stage.came_s
    assert set(stage.causes_at_start) == set(SERVICES)
    FaultFigures.of(
        [f"absent-{number}" for number in range(ABSENT)],
        assessments_of(stage.services.mlflow_uri, "shop", "absent"),
        SCORERS,
        judge_calls=stage.services.judge.calls["judge"],
        recovered_s=recovered_s,
    ).report(fault="absent at the start", services=len(SERVICES))


@pytest.mark.parametrize(("service", "fault"), EVERY_PAIR if FULL else TELLING_PAIRS)
def test_a_service_that_fails_costs_nothing_but_time(stage: Stage, service: str, fault: str) -> None:
    """Events before, during and after it have one assessment a scorer; readiness said what failed."""
    daemon, proxy, judge = stage.daemon, stage.services.proxies[service], stage.services.judge
    before, judged_before, broken_before = stage.received(), judge.calls["judge"], proxy.broken
    prefix = f"{service}-{fault}"
    with EventLoad(stage.services.direct_source(), prefix) as load:
        daemon.eventually(lambda: stage.received() >= before + 3, "events flow")
        FAULTS[fault](proxy)
        with hold(HOLD_S):
            if fault in {"cut", "swallow"}:
                daemon.eventually(lambda: not stage.state_of(service)["up"], f"{service} is known to be away")
                assert stage.state_of(service)["cause"]
                assert daemon.readiness()[0] == 503
            elif fault == "halve":
                daemon.eventually(lambda: proxy.broken >= broken_before + TORN, "connections are torn")
        proxy.pass_on()
        restored_s, arrived = time.monotonic(), load.sent
        daemon.eventually(lambda: stage.received() >= before + arrived, "what had come is taken up")
        recovered_s = time.monotonic() - restored_s
        daemon.eventually(lambda: load.sent >= arrived + 3, "events after the fault")
    stage.settled(before + load.sent)

    assert stage.ledger.positions.mismatches() == []
    outcomes = {(row.scorer, row.outcome): row.count for row in stage.ledger.positions.accounted()}
    assert outcomes == {(scorer, "scored"): before + load.sent for scorer in SCORERS}
    FaultFigures.of(
        load.trace_ids,
        assessments_of(stage.services.mlflow_uri, "shop", prefix),
        SCORERS,
        judge_calls=judge.calls["judge"] - judged_before,
        recovered_s=recovered_s,
    ).report(service=service, fault=fault, broken=proxy.broken - broken_before)
