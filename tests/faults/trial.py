"""A daemon under a load, a fault, and what the fault did to the events."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from consumers.settings import SourceSettings
from monitor.config import Config
from monitor.demo.scripted_endpoint import ScriptedEndpoint
from monitor.ledger.ledger import Ledger
from tests.acceptance.running_daemon import RunningDaemon, patience_for
from tests.faults.event_load import EventLoad
from tests.faults.fault_figures import FaultFigures
from tests.faults.pauses import hold

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

SCORERS = ("safety", "short")
# The fewest events before a fault, and after it.
_FEW = 3


def fault_config(
    bootstrap_servers: str, topic: str, tracking_uri: str, ledger_url: str, judge_url: str, **sections: Any
) -> Config:
    """A daemon that judges every event with one judge and one heuristic, and is quick to try again.

    `sections` replace or complete those of the same name.
    """
    return Config.model_validate(
        fault_document(bootstrap_servers, topic, tracking_uri, ledger_url, judge_url, **sections)
    )


def fault_document(
    bootstrap_servers: str, topic: str, tracking_uri: str, ledger_url: str, judge_url: str, **sections: Any
) -> dict[str, Any]:
    """The same as a configuration file would hold it."""
    config: dict[str, Any] = {
        "app": topic,
        "source": {
            "bootstrap_servers": bootstrap_servers,
            "topic": topic,
            "session_timeout": "10s",
            "heartbeat_interval": "500ms",
            "connect_timeout": "2s",
            "request_timeout": "2s",
            "reconnect_backoff_max": "500ms",
        },
        "mlflow": {"tracking_uri": tracking_uri},
        "ledger": {"url": ledger_url, "lease_ttl": "6s"},
        "judge": {"base_url": judge_url, "api_key": "none", "model": "scripted", "retries": 0, "timeout": "2s"},
        "sampling": {"rate": "always"},
        "dataset": None,
        "scorers": [
            {"name": "safety", "use": "Safety"},
            {"name": "short", "use": "AnswerLength", "max_length": 200},
        ],
        "pipeline": {
            "commit_every": "200ms",
            "max_events_in_flight": 20,
            "workers": 4,
            "retry_up_to": "1s",
            "upkeep_every": "1s",
        },
        "http": {"port": 0},
    }
    for name, section in sections.items():
        config[name] = config[name] | section if isinstance(config.get(name), dict) else section
    return config


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A running daemon and the ways past every fault: to its topic, its ledger, its MLflow and its judge."""

    daemon: RunningDaemon
    app: str
    source: SourceSettings
    ledger: Ledger
    mlflow_uri: str
    judge: ScriptedEndpoint

    def received(self) -> int:
        """Events past the watermarks."""
        return self.ledger.positions.received()

    def is_away(self, service: str) -> str:
        """Return, once readiness names the service as away, the cause that it gives."""
        causes: list[str] = []

        def named() -> bool:
            status, body = self.daemon.readiness()
            state = body["dependencies"][service]
            if not state["up"]:
                assert status == 503
                causes.append(state["cause"])
            return bool(causes)

        self.daemon.eventually(named, f"{service} is known to be away")
        assert causes[0]
        return causes[0]

    def settled(self, received: int) -> None:
        """Return when so many events are past the watermarks, shown in MLflow, and the daemon is ready."""
        self.daemon.eventually(
            lambda: self.received() >= received,
            f"{received} events past the watermarks",
            patience_s=patience_for(received),
        )
        assert self.received() == received
        self.daemon.eventually(
            lambda: not self.ledger.intake.unpublished(1),
            "every verdict published",
            patience_s=patience_for(received),
        )
        self.daemon.eventually(lambda: self.daemon.readiness()[0] == 200, "ready again")

    def endure(
        self,
        prefix: str,
        fault: AbstractContextManager[object],
        meanwhile: Callable[[], None] = lambda: None,
        *,
        hold_s: float,
        per_second: float = 6.0,
    ) -> FaultFigures:
        """Let events flow before, during and after the fault, which lasts as long as `meanwhile` and `hold_s`.

        Afterwards every event, of this load and of all before, is accounted for as scored.
        """
        before, judged_before = self.received(), self.judge.calls["judge"]
        with EventLoad(self.source, prefix, per_second=per_second) as load:
            self.daemon.eventually(lambda: self.received() >= before + _FEW, "events flow")
            with fault, hold(hold_s):
                meanwhile()
            over_s, arrived = time.monotonic(), load.sent
            self.daemon.eventually(lambda: self.received() >= before + arrived, "what had come is taken up")
            recovered_s = time.monotonic() - over_s
            self.daemon.eventually(lambda: load.sent >= arrived + _FEW, "events after the fault")
        self.settled(before + load.sent)
        assert self.ledger.positions.mismatches() == []
        outcomes = {(row.scorer, row.outcome): row.count for row in self.ledger.positions.accounted()}
        assert outcomes == {(scorer, "scored"): before + load.sent for scorer in SCORERS}
        assert errors_of(self.ledger) == 0
        return FaultFigures.of(
            load.trace_ids,
            assessments_of(self.mlflow_uri, self.app, prefix),
            SCORERS,
            judge_calls=self.judge.calls["judge"] - judged_before,
            recovered_s=recovered_s,
        )


def errors_of(ledger: Ledger) -> int:
    """Error verdicts: a scorer that a fault kept from its answer would be counted as scored all the same."""
    return sum(row.count for row in ledger.figures.verdict_counts() if row.segment == "all" and row.label == "error")


def assessments_of(mlflow_uri: str, experiment: str, prefix: str) -> Counter[tuple[str, str]]:
    """How many assessments MLflow has, by (source id, scorer), of traces whose source id is `PREFIX-NUMBER`.

    A trace without any counts as nothing.
    """
    from mlflow.tracking import MlflowClient

    with pytest.MonkeyPatch.context() as patch:
        # The daemon's patience may be cut down to that of a fault; this question is the test's own.
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        return _assessments(MlflowClient(mlflow_uri), experiment, prefix)


def _assessments(client: MlflowClient, experiment: str, prefix: str) -> Counter[tuple[str, str]]:
    found = client.get_experiment_by_name(experiment)
    counted: Counter[tuple[str, str]] = Counter()
    token: str | None = None
    while found is not None:
        page: Any = client.search_traces(
            locations=[found.experiment_id], max_results=200, page_token=token, include_spans=False
        )
        for trace in page:
            source_id = trace.info.client_request_id or ""
            if source_id.rpartition("-")[0] == prefix:
                counted.update((source_id, assessment.name) for assessment in trace.info.assessments)
        token = page.token
        if not token:
            break
    return counted
