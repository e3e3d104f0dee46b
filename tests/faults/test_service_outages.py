"""Each service absent at the start, cut off, slow, silent, or torn in the middle of a message, while events flow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from monitor.demo.scripted_endpoint import ScriptedEndpoint
from monitor.demo.scripted_trouble import Failure
from monitor.ledger.ledger import open_ledger
from tests.acceptance.running_daemon import RunningDaemon, running
from tests.faults.databases import fresh_database
from tests.faults.event_load import publish_events
from tests.faults.extent import FULL, choose
from tests.faults.fault_figures import FaultFigures
from tests.faults.service_stage import Services, services_behind_proxies
from tests.faults.tcp_proxy import TcpProxy
from tests.faults.trial import SCORERS, Trial, assessments_of

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


# What a judge's endpoint says instead of an answer, for as long as it lasts.
EVERY_ANSWER: tuple[Failure, ...] = ("429", "retry_after", "500", "hang", "hang_up", "garbage", "truncated", "huge")
TELLING_ANSWERS: tuple[Failure, ...] = ("429", "truncated")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The trial of a daemon whose services each have a proxy, and how it began."""

    trial: Trial
    proxies: Mapping[str, TcpProxy]
    causes_at_start: Mapping[str, str]
    came_s: float


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
            trial = Trial(
                daemon=daemon,
                app=services.config().app,
                source=services.direct_source(),
                ledger=ledger,
                mlflow_uri=services.mlflow_uri,
                judge=services.judge,
            )
            yield Stage(trial=trial, proxies=services.proxies, causes_at_start=causes, came_s=came_s)
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
    stage.trial.settled(ABSENT)
    recovered_s = time.monotonic() - stage.came_s
    assert set(stage.causes_at_start) == set(SERVICES)
    FaultFigures.of(
        [f"absent-{number}" for number in range(ABSENT)],
        assessments_of(stage.trial.mlflow_uri, stage.trial.app, "absent"),
        SCORERS,
        judge_calls=stage.trial.judge.calls["judge"],
        recovered_s=recovered_s,
    ).report(fault="absent at the start", services=len(SERVICES))


@pytest.mark.parametrize(("service", "fault"), EVERY_PAIR if FULL else TELLING_PAIRS)
def test_a_service_that_fails_costs_nothing_but_time(stage: Stage, service: str, fault: str) -> None:
    """Events before, during and after it have one assessment a scorer; readiness said what failed."""
    trial, proxy = stage.trial, stage.proxies[service]
    broken_before = proxy.broken

    def has_bitten() -> None:
        if fault in {"cut", "swallow"}:
            trial.is_away(service)
        elif fault == "halve":
            trial.daemon.eventually(lambda: proxy.broken >= broken_before + TORN, "connections are torn")

    figures = trial.endure(f"{service}-{fault}", doing(proxy, fault), has_bitten, hold_s=HOLD_S)
    figures.report(service=service, fault=fault, broken=proxy.broken - broken_before)


@pytest.mark.parametrize("answer", EVERY_ANSWER if FULL else TELLING_ANSWERS)
def test_a_judge_that_answers_everything_with_a_failure_costs_nothing_but_time(stage: Stage, answer: Failure) -> None:
    """Nothing becomes an error verdict: an endpoint that fails for all traces is waited for."""
    trial = stage.trial

    def is_away() -> None:
        trial.is_away("judge")

    figures = trial.endure(f"judge-{answer}", failing(trial.judge, answer), is_away, hold_s=HOLD_S)
    figures.report(service="judge", fault=f"answers {answer}")


@contextmanager
def failing(judge: ScriptedEndpoint, answer: Failure) -> Iterator[None]:
    """The failure for as long as the block takes."""
    judge.fail(answer)
    try:
        yield
    finally:
        judge.recover()


@contextmanager
def doing(proxy: TcpProxy, fault: str) -> Iterator[None]:
    """The fault for as long as the block takes."""
    FAULTS[fault](proxy)
    try:
        yield
    finally:
        proxy.pass_on()
