"""From a customer's e-mail to the page: the demo's traffic, Kafka, two replicas, Prometheus and Alertmanager."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from exposed_replicas import scraping
from prometheus_servers import Alertmanager, Prometheus
from webhook_receiver import WebhookReceiver

from consumers.kafka_publish import BatchPublisher, Outgoing
from monitor.config import Config
from monitor.demo.production_requests import burst
from monitor.demo.scorers import SALES_EMAIL_SCORERS
from monitor.evaluation.candidate import FunctionCandidate
from monitor.evaluation.evaluator import EvaluationRow
from monitor.evaluation.settings import VersionSettings
from tests.acceptance.running_daemon import RunningDaemon, running

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
RULE_FILES = ("health.rules.yml", "quality.rules.yml")
EXAMPLE = ROOT / "deploy" / "alertmanager" / "alertmanager.example.yml"
RUNBOOKS = "https://tracewatch.example/docs/runbooks"
DASHBOARD = "https://grafana.example/d/tracewatch-overview"

REGRESSED = "mentions_contact_name"
WELL = "safety"
REGRESSION = "TracewatchProductionRegression"
TRAFFIC = tuple(burst(24))
"""What is asked in one round of traffic."""
BAD_ROUNDS = 5
"""So many that the test upward soon sees the rate come back: it first measures how far the rate had fallen."""

Start = Callable[..., Any]


class Production:
    """The demo's releases as processes of their own, whose traces are published as the answers come."""

    def __init__(self, config: Config, endpoint: str) -> None:
        self._environment = {**os.environ, "OPENAI_BASE_URL": endpoint, "OPENAI_API_KEY": "scripted"}
        self._releases = {version: self._release(version) for version in ("v1", "v1_1")}
        self._publisher = BatchPublisher(config.source)
        self.published: dict[str, set[str]] = {version: set() for version in self._releases}

    def _release(self, version: str) -> FunctionCandidate:
        names = ("OPENAI_BASE_URL", "OPENAI_API_KEY")
        function = f"monitor.demo.sales_email:generate_sales_email_{version}"
        return FunctionCandidate(version, VersionSettings(function=function, environment=names), self._environment)

    def serve(self, version: str) -> float:
        """Answer a round of traffic; the monotonic time at which its first event was published."""
        rows = [EvaluationRow(inputs=dict(request.inputs)) for request in TRAFFIC]
        times: list[float] = []
        for answer in self._releases[version].answer(rows, run_id="production"):
            assert answer.trace_json is not None, answer.failure
            self._publisher.publish([Outgoing(value=answer.trace_json.encode())])
            times.append(time.monotonic())
            self.published[version].add(str(answer.trace_id))
        return times[0]

    def close(self) -> None:
        """End the releases."""
        self._publisher.close()
        for release in self._releases.values():
            release.close()


@dataclass(frozen=True, kw_only=True)
class OnCall:
    """What the people at the end of the line have, and whom they can ask."""

    replicas: tuple[RunningDaemon, RunningDaemon]
    production: Production
    prometheus: Prometheus
    alertmanager: Alertmanager
    webhook: WebhookReceiver

    def eventually(self, condition: Callable[[], object], what: str) -> None:
        """Wait for it while the replicas live."""
        for each in self.replicas:
            each.eventually(condition, what)

    def pages(self) -> list[Mapping[str, Any]]:
        """Every notification that came for pages, the oldest first."""
        return [each.json for each in self.webhook.accepted if each.path == "/pages"]

    def tickets(self) -> list[Mapping[str, Any]]:
        """Every notification that came for tickets."""
        return [each.json for each in self.webhook.accepted if each.path == "/tickets"]

    def prometheus_says(self, expression: str, value: float, *, series: int = 1) -> bool:
        """Whether an expression has so many series, one for each replica where it has two, all of this value."""
        found = self.prometheus.query(expression)
        return len(found) == series and all(float(each["value"][1]) == value for each in found)

    def regressions_of_rules(self) -> list[str]:
        """What Prometheus's own rules make of the regression, pending or firing, evaluated on all it knows now."""
        now = time.time()
        # Times of evaluations are read in whole seconds.
        self.eventually(lambda: self.prometheus.has_evaluated(now + 1), "every rule was evaluated")
        found = self.prometheus.query("ALERTS")
        return [each["metric"]["alertname"] for each in found if each["metric"]["alertname"] == REGRESSION]


def configuration(topic: str, kafka: Any, mlflow: str, ledger: str, judge: str, alertmanager: str) -> Config:
    scorers = {scorer["name"]: dict(scorer) for scorer in SALES_EMAIL_SCORERS}
    return Config.model_validate(
        {
            "app": topic,
            "labels": {"team": "growth", "env": "production"},
            "source": {"bootstrap_servers": kafka.bootstrap_servers, "topic": topic, "format": "mlflow+json"},
            "mlflow": {"tracking_uri": mlflow},
            "ledger": {"url": ledger},
            "judge": {"base_url": judge, "api_key": "none", "model": "scripted"},
            "sampling": {"rate": "always"},
            "dataset": None,
            "scorers": [scorers[REGRESSED], scorers[WELL] | {"rate": 0.2}],
            "statistics": {"block": "1s", "close_after": "0s"},
            "alerts": {
                "min_verdicts": 1,
                "receivers": [{"name": "am", "kind": "alertmanager", "url": alertmanager}],
                "links": {"runbooks": RUNBOOKS, "dashboard": DASHBOARD},
            },
            "pipeline": {"upkeep_every": "500ms", "commit_every": "200ms"},
            "http": {"port": 0},
        }
    )


def routed_to(webhook: str) -> str:
    """The example's routes and inhibitions with our receiver, and without its waiting times."""
    config = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    for receiver in config["receivers"]:
        for each in receiver.get("webhook_configs", ()):
            each["url"] = f"{webhook}{urlsplit(each['url']).path}"
    return yaml.safe_dump(config)


@pytest.fixture
def on_call(
    topic: str,
    kafka: Any,
    mlflow_server: str,
    postgres_ledger_url: str,
    judge_endpoint: Any,
    prometheus: Start,
    start_alertmanager: Start,
) -> Iterator[OnCall]:
    """Everything between the customers and the webhook, running."""
    with ExitStack() as stack:
        webhook = stack.enter_context(WebhookReceiver())
        manager = start_alertmanager(routed_to(webhook.address))
        config = configuration(
            topic, kafka, mlflow_server, postgres_ledger_url, judge_endpoint.base_url, manager.address
        )
        production = Production(config, judge_endpoint.base_url)
        stack.callback(production.close)
        first, second = stack.enter_context(running(config)), stack.enter_context(running(config))
        targets = [each.address.removeprefix("http://") for each in (first, second)]
        alerting = f'alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{manager.port}"]}}]}}]}}'
        server = prometheus(
            scraping(targets, f"rule_files: [{', '.join(RULE_FILES)}]", alerting),
            {name: (RULES / name).read_text(encoding="utf-8") for name in RULE_FILES},
        )
        yield OnCall(
            replicas=(first, second), production=production, prometheus=server, alertmanager=manager, webhook=webhook
        )


def test_a_bad_release_is_one_page_with_its_proof_and_one_end_of_it(
    on_call: OnCall, topic: str, show_figure: Callable[[str], None]
) -> None:
    """One page for two replicas and two deliverers; it ends once good traffic is back, and nothing else is told."""
    production = on_call.production
    production.serve("v1")
    passed = f'sum(tracewatch_verdicts_total{{app="{topic}",scorer="{REGRESSED}",segment="all",verdict="pass"}})'
    on_call.eventually(lambda: on_call.prometheus_says(passed, len(TRAFFIC)), "good e-mails are judged")
    working = f'tracewatch_delivery_working{{app="{topic}"}}'
    on_call.eventually(lambda: on_call.prometheus_says(working, 1, series=2), "both replicas say that delivery works")
    assert on_call.pages() == []

    began_ms = time.time() * 1000
    bad_s = production.serve("v1_1")
    on_call.eventually(on_call.pages, "the page arrives")
    page_s = time.monotonic()
    for _ in range(BAD_ROUNDS - 1):
        production.serve("v1_1")
    firing = f'tracewatch_alert_firing{{app="{topic}",kind="production_regression",severity="page"}}'
    on_call.eventually(lambda: on_call.prometheus_says(firing, 1, series=2), "both replicas say that it fires")
    assert on_call.regressions_of_rules() == []

    good_s = production.serve("v1")
    production.serve("v1")
    on_call.eventually(lambda: len(on_call.pages()) > 1, "its end arrives")
    end_s = time.monotonic()
    show_figure(
        f"from the first bad event to the page {page_s - bad_s:.1f} s, "
        f"from the first good one again to its end {end_s - good_s:.1f} s"
    )

    assert on_call.regressions_of_rules() == []
    assert on_call.alertmanager.alerts() == []
    fired, resolved = on_call.pages()
    assert (fired["status"], resolved["status"]) == ("firing", "resolved")
    assert on_call.tickets() == []
    (page,), (end,) = fired["alerts"], resolved["alerts"]
    assert page["labels"] == end["labels"] == labels_of(topic)
    assert page["annotations"]["alert_id"] == end["annotations"]["alert_id"]
    _proves_the_regression(page["annotations"], production, began_ms)
    _leads_to_what_helps(page, topic)


def labels_of(app: str) -> dict[str, str]:
    """Those of the design and of the configuration, and no more: no pod, instance or job."""
    return {
        "alertname": REGRESSION,
        "app": app,
        "kind": "production_regression",
        "scorer": REGRESSED,
        "segment": "all",
        "severity": "page",
        "team": "growth",
        "env": "production",
    }


def _proves_the_regression(told: Mapping[str, str], production: Production, began_ms: float) -> None:
    """What it was and is, since when, by which version, and e-mails of that version beside good ones before."""
    proof = json.loads(told["proof"])
    assert proof["before"] == 0.9
    low, high = proof["interval"]
    assert low <= proof["after"] <= high < 0.9
    assert proof["verdicts"] > 0
    assert proof["first_version"] == "v1.1"
    block_ms = 1000
    assert began_ms - block_ms < proof["since_ms"] <= proof["found_ms"] <= time.time() * 1000
    text = told["description"]
    for line in ("pass rate before: 0.9", "first bad version: v1.1", "since: ", "interval: ", "verdicts: "):
        assert line in text
    bad = re.findall(r"^\d\. \S+selectedEvaluationId=(tr-\w{32}) ", text, re.MULTILINE)
    good = re.findall(r"^   good before: \S+selectedEvaluationId=(tr-\w{32})$", text, re.MULTILINE)
    assert len(bad) == len(good) == 3
    assert set(bad) <= production.published["v1_1"]
    assert set(good) <= production.published["v1"]


def _leads_to_what_helps(page: Mapping[str, Any], app: str) -> None:
    """The runbook is a page of this repository, the dashboard opens with the alert's app, scorer and segment."""
    told = page["annotations"]
    assert told["runbook_url"] == f"{RUNBOOKS}/production_regression.md"
    assert (ROOT / "docs" / "runbooks" / "production_regression.md").is_file()
    link = urlsplit(told["dashboard_url"])
    assert f"{link.scheme}://{link.netloc}{link.path}" == DASHBOARD
    assert parse_qs(link.query) == {"var-app": [app], "var-scorer": [REGRESSED], "var-segment": ["all"]}
    assert page["generatorURL"] == told["dashboard_url"]
