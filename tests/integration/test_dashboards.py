"""The Grafana dashboards: made by the code, readable by Grafana's own models, and full of data on a real Prometheus."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from exposed_replicas import exposed, mail, scraping, shop
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from machine import lacking
from prometheus_servers import NotInstalled, Prometheus, eventually

from deploy.dashboards.queries import Metrics, NotDeclared
from deploy.dashboards.rendering import FOLDER, all_rendered
from monitor.metrics import METRICS

BOARDS: Mapping[str, Mapping[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))
}
CHOSEN = {
    "overview": {"app": "shop", "scorer": ".+", "segment": ".+", "version": ".+"},
    "fleet": {"app": ".+", "scorer": ".+"},
}
# What Grafana's library has no field for.
NOT_MODELLED = ("titleFormat", "step")


def panels(board: str) -> list[Mapping[str, Any]]:
    """The dashboard's panels but for the headings of its rows."""
    return [panel for panel in BOARDS[board]["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str, Mapping[str, Any]]]:
    """(dashboard, panel, target) of each query."""
    return [
        (board, panel["title"], target) for board in BOARDS for panel in panels(board) for target in panel["targets"]
    ]


def in_words(query: tuple[str, str, Mapping[str, Any]]) -> str:
    """A name for a test's case."""
    board, panel, target = query
    return f"{board}: {panel} {target['refId']}"


def asked(board: str, expression: str) -> str:
    """The expression as Grafana sends it, with everything chosen and windows of ten seconds."""
    filled = expression.replace("$__rate_interval", "10s").replace("$__range", "10s")
    for name, value in CHOSEN[board].items():
        filled = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", value, filled)
    return re.sub(r"\[1h\]|\[15m\]|\[1d\]", "[10s]", filled)


def lost(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Where `after` lacks what `before` has; what it has beside that are defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after.get(key), f"{place}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{place}.{number}")
    elif before != after:
        yield place


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped three processes of two applications often enough for rates."""
    with exposed(shop(), mail()) as targets:
        try:
            server = Prometheus(tmp_path_factory.mktemp("prometheus"), scraping(targets))
        except NotInstalled as error:
            lacking(str(error))
        with server:
            eventually(lambda: _scrapes(server) == [3, 3, 3], "every process was scraped three times")
            yield server


def _scrapes(server: Prometheus) -> list[int]:
    found = server.query("sum_over_time(up[1m])")
    return [min(3, int(float(sample["value"][1]))) for sample in found]


def test_the_dashboards_are_what_the_code_makes() -> None:
    """Nobody edits one without the other."""
    files = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert files == all_rendered(), "run: make dashboards"


@pytest.mark.parametrize("board", BOARDS)
def test_grafanas_own_models_lose_nothing_of_a_dashboard(board: str) -> None:
    """A misspelt key would be gone after a round trip."""
    register_default_plugins()
    document = json.loads((FOLDER / f"{board}.json").read_text(encoding="utf-8"))
    for mark in document["annotations"].get("list", ()):
        for key in NOT_MODELLED:
            mark.pop(key)
    again = json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))
    assert list(lost(document, again)) == []
    document["panels"][0]["fieldConfig"]["defaults"]["treshold"] = 1
    again = json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))
    assert list(lost(document, again)) == [".panels.0.fieldConfig.defaults.treshold"]


@pytest.mark.parametrize("board", BOARDS)
def test_every_panel_says_what_it_shows_and_has_its_place(board: str) -> None:
    """A title, a description, a unit and the chosen data source; no two panels overlap or leave the screen."""
    taken: set[tuple[int, int]] = set()
    for panel in BOARDS[board]["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@pytest.mark.parametrize("board", BOARDS)
def test_every_query_of_a_panel_has_a_name_of_its_own(board: str) -> None:
    """Grafana refuses a panel with two queries of the same refId, and shows nothing of it."""
    for panel in panels(board):
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names), panel["title"]


def test_the_overview_can_be_narrowed_down_and_marks_regressions() -> None:
    """One application; its scorers, segments and versions; the time of each regression on every curve."""
    board = BOARDS["overview"]
    assert [each["name"] for each in board["templating"]["list"]] == [
        "datasource",
        "app",
        "scorer",
        "segment",
        "version",
    ]
    assert [mark["name"] for mark in board["annotations"]["list"]] == ["Regressions", "Candidates"]
    used = " ".join(target["expr"] for name, _, target in queries() if name == "overview")
    for name in ("app", "scorer", "segment", "version"):
        assert f"${name}" in used


@pytest.mark.parametrize("query", queries(), ids=in_words)
def test_every_query_returns_data(filled: Prometheus, query: tuple[str, str, Mapping[str, Any]]) -> None:
    """Real Prometheus takes it, finds numbers, and has every label that the legend names."""
    board, _, target = query
    expression = asked(board, target["expr"])
    found = filled.query(expression) if target.get("instant") else filled.query_range(expression, over_s=4, step_s=1)
    assert found
    samples = [value for each in found for value in (each.get("values") or [each["value"]])]
    assert any(math.isfinite(float(text)) for _, text in samples)
    for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
        assert all(each["metric"].get(label) for each in found), label


@pytest.mark.parametrize("mark", BOARDS["overview"]["annotations"]["list"], ids=lambda mark: mark["name"])
def test_every_mark_is_set_while_a_regression_fires(filled: Prometheus, mark: Mapping[str, Any]) -> None:
    """And its words find their labels."""
    found = filled.query(asked("overview", mark["expr"]))
    assert len(found) == 1, "two replicas, one mark"
    for label in re.findall(r"\{\{(\w+)\}\}", mark["titleFormat"]):
        assert found[0]["metric"][label]


@pytest.mark.parametrize("board", BOARDS)
def test_every_choice_offers_what_there_is(filled: Prometheus, board: str) -> None:
    """Each variable's series exist and have its label."""
    for variable in BOARDS[board]["templating"]["list"]:
        if variable["type"] == "query":
            series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
            assert label == variable["name"]
            assert filled.query(f"group by ({label}) ({asked(board, series)})")[0]["metric"][label]


def test_two_replicas_show_the_groups_figures_once_and_their_own_added_up(filled: Prometheus) -> None:
    """The pass rate of an application with two replicas is one curve; their lag is a sum."""
    by_title = {panel["title"]: panel["targets"][0]["expr"] for panel in panels("overview")}
    rate = filled.query(asked("overview", by_title["$scorer"]))
    assert sorted(each["metric"]["segment"] for each in rate) == ["all", "app_version=v1", "app_version=v2"]
    lag = filled.query(asked("overview", by_title["Events that wait to be read"]))
    assert {each["metric"]["partition"]: each["value"][1] for each in lag} == {"0": "120", "1": "121"}


def test_the_worst_application_is_the_first_row_of_the_fleet(filled: Prometheus) -> None:
    """Each has a row with figures, sorted by pages, then by how far its worst scorer is below its target."""
    table = next(panel for panel in panels("fleet") if panel["type"] == "table")
    names = table["transformations"][1]["options"]["renameByName"]
    columns = {
        names[f"Value #{target['refId']}"]: {
            each["metric"]["app"]: float(each["value"][1]) for each in filled.query(asked("fleet", target["expr"]))
        }
        for target in table["targets"]
    }
    assert columns["Pages"] == {"shop": 2.0, "mail": 0.0}
    assert columns["Tickets"] == {"shop": 1.0, "mail": 2.0}
    assert columns["Processes"] == {"shop": 2.0, "mail": 1.0}
    assert columns["Furthest from target"] == pytest.approx({"shop": -0.23, "mail": 0.08})
    assert table["options"]["sortBy"] == [
        {"displayName": "Pages", "desc": True},
        {"displayName": "Furthest from target", "desc": False},
    ]
    worst = next(panel for panel in panels("fleet") if "furthest below" in panel["title"])
    first = filled.query(asked("fleet", worst["targets"][0]["expr"]))[0]["metric"]
    assert first == {"app": "shop", "scorer": "retrieval_groundedness"}


def test_two_tickets_are_no_page_and_two_pages_are_one_severity(filled: Prometheus) -> None:
    """The fleet's severities have names and colours for 0, 1 and 2 alone, however many alerts fire."""
    panel = next(panel for panel in panels("fleet") if panel["title"] == "Alerts over time")
    found = filled.query(asked("fleet", panel["targets"][0]["expr"]))
    assert {each["metric"]["app"]: float(each["value"][1]) for each in found} == {"shop": 2.0, "mail": 1.0}


def test_a_missing_figure_of_delivery_is_not_known() -> None:
    """Where no receiver is configured the figure is 0: nobody tells of a regression, and that is red."""
    panel = next(panel for panel in panels("overview") if panel["title"] == "Delivery of alerts")
    assert panel["fieldConfig"]["defaults"]["noValue"] == "not known"
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"] == "red"


def test_a_query_of_something_that_is_not_exported_cannot_be_made() -> None:
    """A renamed metric, or a label that it has not, fails when the dashboards are made."""
    metrics = Metrics('app="$app"')
    with pytest.raises(NotDeclared, match="tracewatch_pass_rates"):
        metrics.value("pass_rates")
    with pytest.raises(NotDeclared, match="partition"):
        metrics.value("pass_rate", 'partition="0"')
    with pytest.raises(NotDeclared, match="version"):
        metrics.value("pass_rate", by="version")


def test_every_declared_metric_that_is_a_figure_of_quality_is_on_the_overview() -> None:
    """What is exported for the on-call to see can be seen."""
    used = set(
        re.findall(r"tracewatch_\w+", " ".join(target["expr"] for name, _, target in queries() if name == "overview"))
    )
    shown = {name.removesuffix("_bucket") for name in used}
    quality = {
        each.name for each in METRICS if re.search(r"pass_rate|target|regression|candidate|detectable", each.name)
    }
    assert quality - shown == set()


def test_provisioning_finds_the_dashboards_and_their_data_source() -> None:
    """Grafana reads the files of the folder beside, and the data source is the one that the variable offers."""
    provisioning = FOLDER.parent / "provisioning"
    providers = yaml.safe_load((provisioning / "dashboards" / "tracewatch.yml").read_text(encoding="utf-8"))
    sources = yaml.safe_load((provisioning / "datasources" / "tracewatch.yml").read_text(encoding="utf-8"))
    assert [Path(each["options"]["path"]).name for each in providers["providers"]] == ["dashboards"]
    assert [each["type"] for each in sources["datasources"]] == ["prometheus"]
