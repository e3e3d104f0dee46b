"""Prometheus's rules and Alertmanager's example: valid, tested, complete, and right on the real servers."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from exposed_replicas import exposed, mail, scraping, shop
from prometheus_servers import Alertmanager, Prometheus, eventually

from deploy.dashboards.rendering import FOLDER
from monitor.alerts.alert import AlertKind
from monitor.metrics import METRICS

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager"
FILES = ("health.rules.yml", "quality.rules.yml", "slo.example.rules.yml")
TESTS = sorted(path.name for path in (RULES / "tests").glob("*.test.yml"))
RUNBOOK = "https://tracewatch.example/docs/runbooks/"
DASHBOARD = "https://grafana.example/d/"

Rule = Mapping[str, Any]
Tool = Callable[..., str]


def rules() -> Iterator[Rule]:
    """Every rule of every file."""
    for name in FILES:
        for group in yaml.safe_load((RULES / name).read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDS = [rule for rule in rules() if "record" in rule]


def cases() -> Iterator[Mapping[str, Any]]:
    """Every case of the rules' unit tests."""
    for name in TESTS:
        yield from yaml.safe_load((RULES / "tests" / name).read_text(encoding="utf-8"))["tests"]


def test_prometheus_loads_the_rules_and_the_example(promtool: Tool) -> None:
    """As they are, without a warning."""
    assert promtool("check", "rules", *FILES, folder=RULES).count("SUCCESS") == len(FILES)
    promtool("check", "config", "prometheus.example.yml", folder=RULES)


@pytest.mark.parametrize("name", TESTS)
def test_the_rules_fire_when_they_should_and_not_otherwise(promtool: Tool, name: str) -> None:
    """Each is driven by series of replicas: it fires once, without instance or pod, and it ends."""
    assert "SUCCESS" in promtool("test", "rules", name, folder=RULES / "tests")


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(rule: Rule) -> None:
    """A rule that nobody drives may be wrong for ever."""
    fires, rests = set(), set()
    for case in cases():
        for test in case.get("alert_rule_test", ()):
            (fires if test["exp_alerts"] else rests).add(test["alertname"])
        for test in case.get("promql_expr_test", ()):
            if "ALERTS" in test["expr"]:
                text = yaml.safe_dump(test)
                named = re.search(r'alertname=~?"([^"]+)"', test["expr"])
                expected = test["exp_samples"]
                if expected and (rule["alert"] in text or (named and re.fullmatch(named[1], rule["alert"]))):
                    fires.add(rule["alert"])
                if not expected and (named is None or re.fullmatch(named[1], rule["alert"])):
                    rests.add(rule["alert"])
    assert rule["alert"] in fires
    assert rule["alert"] in rests


@pytest.mark.parametrize("rule", RECORDS, ids=lambda rule: rule["record"])
def test_every_recording_has_a_case(rule: Rule) -> None:
    """Its value is compared with one that a person worked out."""
    asked = [test["expr"] for case in cases() for test in case.get("promql_expr_test", ())]
    patterns = [each for expression in asked for each in re.findall(r'__name__=~"([^"]+)"', expression)]
    assert any(rule["record"] in expression for expression in asked) or any(
        re.fullmatch(pattern, rule["record"]) for pattern in patterns
    )


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_is_wrong_and_leads_to_its_runbook_and_dashboard(rule: Rule) -> None:
    """The runbook is that of its kind and exists, and so does the dashboard with the variables that the link sets."""
    words, labels = rule["annotations"], rule["labels"]
    assert set(words) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "humanize" not in str(words), "humanize of 0.5 is 500m"
    assert words["runbook_url"] == f"{RUNBOOK}{labels['kind']}.md"
    assert (ROOT / "docs" / "runbooks" / f"{labels['kind']}.md").is_file()
    assert words["dashboard_url"].startswith(DASHBOARD)
    link = urlsplit(words["dashboard_url"])
    boards = {board["uid"]: board for board in map(_read, FOLDER.glob("*.json"))}
    board = boards[link.path.removeprefix("/d/")]
    variables = {f"var-{each['name']}" for each in board.get("templating", {}).get("list", ())}
    assert set(parse_qs(link.query)) <= variables


def _read(path: Path) -> Mapping[str, Any]:
    board: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return board


@pytest.mark.parametrize("rule", [*ALERTS, *RECORDS], ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_rule_reads_what_is_exported_or_recorded(rule: Rule) -> None:
    """A renamed metric breaks the test, not the night."""
    known = {each.name for each in METRICS} | {each["record"] for each in RECORDS}
    read = set(re.findall(r"(?:[a-z_]+:)?tracewatch_\w+(?::\w+)?", rule["expr"]))
    assert read
    assert read <= known


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_a_severity_is_fixed_or_the_configurations(rule: Rule) -> None:
    """The daemon's own alerts keep the severity that their gauge carries; all others have one."""
    if "tracewatch_alert_firing" in rule["expr"]:
        assert "severity" not in rule["labels"]
        assert 'severity!="none"' in rule["expr"]
    else:
        assert rule["labels"]["severity"] in ("page", "ticket", "none")


def test_every_kind_of_alert_that_the_daemon_has_is_some_rules() -> None:
    """While delivery fails Prometheus tells of all of them."""
    assert set(get_args(AlertKind)) - {rule["labels"]["kind"] for rule in ALERTS} == set()


# From here on: Alertmanager.

QUALITY = {"kind": "production_regression", "severity": "page"}


def test_alertmanager_takes_the_example(amtool: Tool) -> None:
    """As it is."""
    assert "SUCCESS" in amtool("check-config", "alertmanager.example.yml", folder=ALERTMANAGER)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"app": "shop", **QUALITY}, "on-call"),
        ({"app": "shop", "kind": "absent", "severity": "page"}, "on-call"),
        ({"app": "shop", "kind": "consumer_lag", "severity": "ticket"}, "tickets"),
        ({"app": "shop", "kind": "judge_down", "severity": "none", "scorer": "safety"}, "nobody"),
        ({"kind": "never_scraped", "severity": "ticket"}, "tickets"),
    ],
)
def test_pages_and_tickets_take_their_ways(amtool: Tool, labels: Mapping[str, str], receiver: str) -> None:
    """By severity alone; what has severity none tells nobody."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    found = amtool("config", "routes", "test", "--config.file=alertmanager.example.yml", *pairs, folder=ALERTMANAGER)
    assert found.splitlines()[0].strip() == receiver


def _alert(app: str, kind: str, severity: str = "page", **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": kind, "app": app, "kind": kind, "severity": severity, **labels}}


@pytest.fixture
def manager(start_alertmanager: Callable[..., Alertmanager]) -> Alertmanager:
    """A real Alertmanager with the example's configuration."""
    return start_alertmanager((ALERTMANAGER / "alertmanager.example.yml").read_text(encoding="utf-8"))


def _held_back(manager: Alertmanager) -> set[tuple[str, str, str]]:
    labels = [each["labels"] for each in manager.alerts() if each["status"]["inhibitedBy"]]
    return {(each["app"], each["kind"], each.get("scorer", "")) for each in labels}


def test_a_judge_in_doubt_holds_back_what_it_said_and_nothing_else(manager: Alertmanager) -> None:
    """Its own scorers' regressions wait; those of scorers without a judge, and of other applications, page."""
    regressions = [
        _alert("shop", "production_regression", scorer="safety", segment="all"),
        _alert("shop", "production_regression", scorer="greets", segment="all"),
        _alert("mail", "production_regression", scorer="safety", segment="all"),
        _alert("mail", "production_regression", scorer="tone", segment="all"),
    ]
    manager.post(regressions)
    eventually(lambda: len(manager.alerts()) == 4, "Alertmanager has the alerts")
    assert _held_back(manager) == set()
    manager.post(
        [
            _alert("shop", "judge_down"),
            _alert("shop", "judge_down", severity="none", scorer="safety"),
            _alert("mail", "judge_moved", severity="ticket", scorer="tone"),
        ]
    )
    expected = {("shop", "production_regression", "safety"), ("mail", "production_regression", "tone")}
    eventually(lambda: _held_back(manager) == expected, "the two are held back")


def test_a_service_that_is_away_holds_back_what_follows_from_it(manager: Alertmanager) -> None:
    """Lag while the ledger is away is no news; dead letters are."""
    manager.post(
        [
            _alert("shop", "consumer_lag", severity="ticket", topic="traces"),
            _alert("shop", "dead_letters", severity="ticket"),
            _alert("mail", "consumer_lag", severity="ticket", topic="traces"),
            _alert("shop", "not_ready", dependency="ledger"),
        ]
    )
    eventually(lambda: _held_back(manager) == {("shop", "consumer_lag", "")}, "the lag is held back")


def test_a_regression_of_two_replicas_reaches_alertmanager_once_where_nothing_is_delivered(
    prometheus: Callable[..., Prometheus], manager: Alertmanager
) -> None:
    """On real metrics, rules and servers, without instance or pod; while the daemon delivers by itself, not at all."""
    files = {name: (RULES / name).read_text(encoding="utf-8") for name in FILES}
    alerting = f'alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{manager.port}"]}}]}}]}}'
    rule_files = f"rule_files: [{', '.join(FILES)}]"
    with exposed(shop(delivery=False), mail()) as targets:
        server = prometheus(scraping(targets, rule_files, alerting), files)
        expected = {"TracewatchProductionRegression", "TracewatchCandidateRegression", "TracewatchDeadLetters"}
        eventually(lambda: _names(server) == expected, "the alerts fire")
        eventually(lambda: bool(_regressions(manager)), "Alertmanager has the regression")
        (found,) = _regressions(manager)
        assert sorted(found["labels"]) == ["alertname", "app", "job", "kind", "scorer", "segment", "severity"]
        assert found["labels"]["severity"] == "page"
        assert found["annotations"]["runbook_url"] == f"{RUNBOOK}production_regression.md"
    with exposed(shop(delivery=True)) as targets:
        server = prometheus(scraping(targets, rule_files), files)
        eventually(lambda: bool(server.query("tracewatch_alert_firing")), "the alerts are scraped")
        now = time.time()
        eventually(lambda: server.has_evaluated(now), "every rule was evaluated")
        assert _names(server) <= {"TracewatchDeadLetters"}


def _names(server: Prometheus) -> set[str]:
    return {each["labels"]["alertname"] for each in server.firing()}


def _regressions(manager: Alertmanager) -> list[dict[str, Any]]:
    return [each for each in manager.alerts() if each["labels"]["kind"] == "production_regression"]
