"""Each service cut off, slow, silent or torn in the middle of a message, while events flow: nothing is lost or doubled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from monitor.ledger.ledger import Ledger, open_ledger
from tests.acceptance.running_daemon import RunningDaemon, running
from tests.faults.event_load import EventLoad
from tests.faults.service_stage import SCORERS, Services, assessments_of, services_behind_proxies
from tests.faults.tcp_proxy import TcpProxy

SERVICES = ("kafka", "mlflow", "judge", "ledger")
HOLD_S = 2.0
TORN = 4

FAULTS: dict[str, Callable[[TcpProxy], None]] = {
    "cut": TcpProxy.cut,
    "delay": lambda proxy: proxy.delay(0.3),
    "swallow": TcpProxy.swallow,
    "halve": TcpProxy.halve,
}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The daemon, its services, and a look into its ledger past the proxy."""

    services: Services
    daemon: RunningDaemon
    ledger: Ledger

    def state_of(self, service: str) -> dict[str, Any]:
        state: dict[str, Any] = self.daemon.readiness()[1]["dependencies"][service]
        return state

    def received(self) -> int:
        return self.ledger.positions.received()


@pytest.fixture(scope="module")
def stage(tmp_path_factory, mlflow_server, postgres_url) -> Iterator[Stage]:
    from tests.faults.databases import fresh_database

    folder = tmp_path_factory.mktemp("outages")
    with (
        fresh_database(postgres_url) as ledger_url,
        services_behind_proxies(folder, mlflow_server, ledger_url) as services,
        running(services.config()) as daemon,
    ):
        daemon.eventually(lambda: daemon.readiness()[0] == 200, "ready")
        ledger = open_ledger(ledger_url)
        yield Stage(services=services, daemon=daemon, ledger=ledger)
        ledger.close()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_fails_costs_nothing_but_time(stage: Stage, service: str, fault: str) -> None:
    """Events before, during and after the fault have one trace and one assessment a scorer; readiness said what failed."""
    daemon, proxy = stage.daemon, stage.services.proxies[service]
    before, judged_before, broken_before = stage.received(), stage.services.judge.calls["judge"], proxy.broken
    prefix = f"{service}-{fault}"
    with EventLoad(stage.services.direct_source(), prefix) as load:
        daemon.eventually(lambda: stage.received() >= before + 5, "events flow")
        FAULTS[fault](proxy)
        began = time.monotonic()
        if fault in {"cut", "swallow"}:
            daemon.eventually(lambda: not stage.state_of(service)["up"], f"{service} is known to be away")
            assert stage.state_of(service)["cause"]
            assert daemon.readiness()[0] == 503
        if fault == "halve":
            daemon.eventually(lambda: proxy.broken >= broken_before + TORN, "connections are torn")
        print("NOTICED", time.monotonic() - began)
        threading.Event().wait(max(0.0, HOLD_S - (time.monotonic() - began)))
        proxy.pass_on()
        restored = time.monotonic()
        arrived = load.sent
        daemon.eventually(lambda: stage.received() >= before + arrived, "what had come is taken up")
        recovered_s = time.monotonic() - restored
        daemon.eventually(lambda: load.sent >= arrived + 5, "events after the fault")
        events = load.stop()
    daemon.eventually(lambda: stage.received() == before + events, "every event past the watermark")
    daemon.eventually(lambda: not stage.ledger.intake.unpublished(1), "every verdict published")
    daemon.eventually(lambda: daemon.readiness()[0] == 200, "ready again")

    found = assessments_of(stage.services.mlflow_uri, "shop", prefix)
    effects = len({trace_id for trace_id, _ in found})
    lost = events * len(SCORERS) - len(found)
    doubled = sum(found.values()) - len(found)
    repeated = stage.services.judge.calls["judge"] - judged_before - events
    print(
        f"service={service} fault={fault} events={events} effects={effects} lost={lost} doubled={doubled} "
        f"repeated={repeated} recovered_s={recovered_s:.1f} broken={proxy.broken - broken_before}"
    )
    assert (lost, doubled) == (0, 0)
    assert stage.ledger.positions.mismatches() == []
    outcomes = {(row.scorer, row.outcome): row.count for row in stage.ledger.positions.accounted()}
    assert outcomes == {(scorer, "scored"): before + events for scorer in SCORERS}
