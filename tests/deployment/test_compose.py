"""deploy/compose without an engine: the files are valid, fit together, and are what the real programs read."""

import importlib.resources
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_servers import eventually

from deploy.dashboards.overview import UID
from monitor.config import load_config
from monitor.demo.free_ports import free_port
from monitor.demo.scorers import SALES_EMAIL_SCORERS
from monitor.demo.traffic import TrafficPlan, parse_rate

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def with_defaults(text: str) -> str:
    """The text as compose reads it where nothing is set; a variable without a default is an error."""

    def default(found: re.Match[str]) -> str:
        assert found[2] is not None, f"{found[0]} has no default: `docker compose up` alone would not do"
        return found[2]

    return _VARIABLE.sub(default, text)


def environment(service: str) -> dict[str, str]:
    return {name: with_defaults(value) for name, value in SERVICES[service].get("environment", {}).items()}


def mounts(service: str) -> Iterator[tuple[Path, str]]:
    """What a service mounts from the repository: where it lies, and where the container sees it."""
    for volume in SERVICES[service].get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            yield (FOLDER / source).resolve(), target


def seen_by(service: str, folder: Path) -> Path:
    """A copy of all that the service mounts, below `folder` at the paths that the container sees."""
    for source, target in mounts(service):
        copy = folder / target.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            shutil.copy(source, copy)
    return folder


def lacking(reason: str) -> None:
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"CI must have everything: {reason}")
    pytest.skip(reason)


def test_the_file_is_valid_by_the_compose_specification():
    """The schema of the specification, as check-jsonschema ships it."""
    try:
        import jsonschema

        vendored = importlib.resources.files("check_jsonschema.builtin_schemas.vendor")
    except ImportError:
        lacking("check-jsonschema is not installed")
    schema = json.loads(vendored.joinpath("compose-spec.json").read_bytes())
    jsonschema.validators.validator_for(schema)(schema).validate(COMPOSE)


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned_and_ports_are_on_loopback(service):
    """No `latest`, nothing that another machine reaches, and ports that can be moved out of the way."""
    assert re.fullmatch(r"[a-z0-9./-]+:(?!latest$)[\w.-]+", SERVICES[service]["image"])
    for port in SERVICES[service].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+_PORT:-\d+\}:\d+", port)


def test_one_service_builds_the_image_that_the_others_run():
    """The others must not look for it in a registry."""
    image = SERVICES["tracewatch"]["image"]
    context = (FOLDER / SERVICES["tracewatch"]["build"]["context"]).resolve()
    assert (context / SERVICES["tracewatch"]["build"]["dockerfile"]).is_file()
    others = {name for name, each in SERVICES.items() if each["image"] == image} - {"tracewatch"}
    assert others == {"mlflow", "model", "traffic", "pager"}
    assert {SERVICES[name]["pull_policy"] for name in others} == {"never"}
    assert not any("build" in SERVICES[name] for name in others)


@pytest.mark.parametrize("service", SERVICES)
def test_every_file_and_volume_that_is_mounted_exists(service):
    """Compose would make an empty folder of a missing file, and refuse a volume that is not declared."""
    assert [source for source, _ in mounts(service) if not source.exists()] == []
    volumes = SERVICES[service].get("volumes", [])
    assert {each.split(":")[0] for each in volumes if not each.startswith(".")} <= set(COMPOSE["volumes"])
    assert all(each.endswith(":ro") for each in volumes if each.startswith("."))


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_waits_for_can_come_true(service):
    """The service exists; who is waited for until healthy has a health check, until completed an end."""
    for name, wait in SERVICES[service].get("depends_on", {}).items():
        other = SERVICES[name]
        if wait["condition"] == "service_healthy":
            assert "test" in other["healthcheck"]
        else:
            assert wait["condition"] == "service_completed_successfully"
            assert other["restart"] == "on-failure"


@pytest.mark.parametrize("service", SERVICES)
def test_addresses_in_the_environment_are_those_of_services(service):
    """Every http://NAME:PORT and @NAME:PORT is a service here."""
    for value in environment(service).values():
        hosts = re.findall(r"(?://|@)([a-z][a-z0-9-]*):\d+", value)
        assert set(hosts) <= {*SERVICES}


def test_own_containers_are_read_only_and_have_no_rights():
    """What the image promises is asked for: a read-only root with /tmp, no capability, and none to gain."""
    for name, service in SERVICES.items():
        if service["image"] != SERVICES["tracewatch"]["image"]:
            continue
        assert service["read_only"], name
        assert "/tmp" in service["tmpfs"], name  # noqa: S108 - the container's
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_the_image_s_own_health_check_is_replaced_where_no_daemon_runs():
    """It asks port 9464, where only the daemon answers."""
    for name in ("tracewatch", "mlflow", "model", "traffic", "pager"):
        check = SERVICES[name]["healthcheck"]
        asked = re.search(r"127\.0\.0\.1:(\d+)", json.dumps(check))
        assert check.get("disable") if asked is None else (asked[1] == "9464") == (name == "tracewatch")


@pytest.fixture(scope="module")
def config():
    """The daemon's configuration in its container's environment."""
    return load_config([FOLDER / "tracewatch.yaml"], environment("tracewatch"))


def test_the_daemon_s_configuration_fits_the_compose_file(config):
    """Its own model takes it, and every address in it is a service's."""
    assert config.source.bootstrap_servers == "kafka:9092"
    assert "INTERNAL://kafka:9092" in environment("kafka")["KAFKA_ADVERTISED_LISTENERS"]
    assert config.mlflow.tracking_uri == "http://mlflow:5000"
    assert "--allowed-hosts=mlflow:5000,127.0.0.1:*,localhost:*" in SERVICES["mlflow"]["command"]
    postgres = environment("postgres")
    user, password, name = (postgres[f"POSTGRES_{part}"] for part in ("USER", "PASSWORD", "DB"))
    assert config.ledger.url.get_secret_value() == f"postgresql+psycopg://{user}:{password}@postgres:5432/{name}"
    store = environment("mlflow")["MLFLOW_BACKEND_STORE_URI"]
    assert store == f"postgresql+psycopg://{user}:{password}@postgres:5432/mlflow"
    assert "CREATE DATABASE mlflow;" in (FOLDER / "postgres-init.sql").read_text(encoding="utf-8")
    assert config.judge.base_url == environment("traffic")["OPENAI_BASE_URL"] == "http://model:8080/v1"
    (receiver,) = config.alerts.receivers
    assert [each.get_secret_value() for each in receiver.addresses] == ["http://alertmanager:9093"]
    assert (config.http.host, config.http.port) == ("0.0.0.0", 9464)  # noqa: S104 - the container's


def test_another_model_and_password_reach_the_daemon():
    """What the environment of the command sets is used everywhere that it is needed."""
    chosen = {"OPENAI_BASE_URL": "https://judge.example/v1", "OPENAI_API_KEY": "k", "POSTGRES_PASSWORD": "secret"}
    config = load_config([FOLDER / "tracewatch.yaml"], {**environment("tracewatch"), **chosen})
    assert config.judge.base_url == "https://judge.example/v1"
    assert ":secret@postgres" in config.ledger.url.get_secret_value()


def test_the_topics_are_made_that_are_written_and_read(config):
    """Kafka itself makes none."""
    (script,) = SERVICES["topics"]["command"]
    made = set(re.search(r"for topic in ([^;]+);", script)[1].split())
    collector = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text(encoding="utf-8"))
    written = collector["exporters"]["kafka"]["traces"]["topic"]
    assert made == {config.source.topic, config.source.dead_letters, written}
    assert environment("kafka")["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_scorers_are_those_of_the_demo(config):
    """Names and guidelines come from one place in the code; a file for people repeats them."""
    written = yaml.safe_load((FOLDER / "tracewatch.yaml").read_text(encoding="utf-8"))["scorers"]
    assert [dict(each) for each in SALES_EMAIL_SCORERS] == written
    assert len(config.scorers) == len(written)


def test_the_traffic_s_command_line_is_one():
    """Its defaults are a rate, a version and a time that the command takes."""
    options = dict(each.split("=", 1) for each in map(with_defaults, SERVICES["traffic"]["command"][1:]))
    assert set(options) == {"--config", "--rate", "--version", "--bad-after"}
    assert TrafficPlan(per_s=parse_rate(options["--rate"]), version=options["--version"]).bad_after is None
    assert options["--bad-after"] == "never"
    assert options["--config"] in {target for _, target in mounts("traffic")}


def test_prometheus_takes_its_configuration_with_the_rules(promtool, tmp_path):
    """Checked at the paths that the container sees, so that a rule file that is not mounted is missed."""
    folder = seen_by("prometheus", tmp_path) / "etc" / "prometheus"
    said = promtool("check", "config", "prometheus.yml", folder=folder)
    assert "SUCCESS: 2 rule files found" in said
    loaded = yaml.safe_load((folder / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in loaded["scrape_configs"]}
    assert targets["tracewatch"] == ["tracewatch:9464"]
    assert loaded["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]


def test_alertmanager_routes_as_the_example_does_and_tells_the_pager(amtool, tmp_path):
    """The file is the tested example, but for the address of the receivers."""
    folder = seen_by("alertmanager", tmp_path) / "etc" / "alertmanager"
    assert "SUCCESS" in amtool("check-config", "alertmanager.yml", folder=folder)
    example = (ROOT / "deploy" / "alertmanager" / "alertmanager.example.yml").read_text(encoding="utf-8")
    port = SERVICES["pager"]["command"][0]
    ours = (FOLDER / "alertmanager.yml").read_text(encoding="utf-8")
    assert ours == example.replace("http://127.0.0.1:9095/", f"http://pager:{port}/")


def test_grafana_finds_its_dashboards_and_its_prometheus(config, tmp_path):
    """The provider's folder is mounted and holds the dashboards, and links and the home page lead to one of them."""
    folder = seen_by("grafana", tmp_path)
    provisioning = folder / "etc" / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "tracewatch.yml").read_text("utf-8"))["providers"]
    dashboards = {
        path.name: json.loads(path.read_text("utf-8"))
        for path in (folder / provider["options"]["path"].lstrip("/")).glob("*.json")
    }
    home = Path(environment("grafana")["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert dashboards[home.name]["uid"] == UID
    assert config.alerts.links.dashboard == f"http://127.0.0.1:3000/d/{UID}"
    source = yaml.safe_load((provisioning / "datasources" / "tracewatch.yml").read_text("utf-8"))["datasources"][0]
    assert source["url"] == "${PROMETHEUS_URL}"
    assert environment("grafana")["PROMETHEUS_URL"] == "http://prometheus:9090"
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped


def test_links_open_in_a_browser_on_this_machine_and_follow_the_ports_that_are_moved(config):
    """By the published ports: a container's name leads nowhere there."""
    assert config.alerts.links.mlflow == "http://127.0.0.1:5000"
    moved = {**environment("tracewatch"), "MLFLOW_PORT": "5050", "GRAFANA_PORT": "3003"}
    links = load_config([FOLDER / "tracewatch.yaml"], moved).alerts.links
    assert (links.mlflow, links.dashboard) == ("http://127.0.0.1:5050", f"http://127.0.0.1:3003/d/{UID}")
    for service, port in {"mlflow": "${MLFLOW_PORT:-5000}", "grafana": "${GRAFANA_PORT:-3000}"}.items():
        assert SERVICES[service]["ports"][0].startswith(f"127.0.0.1:{port}:")
        variable = port.removeprefix("${").split(":")[0]
        assert SERVICES["tracewatch"]["environment"][variable] == port


def test_the_guide_says_where_the_first_bad_version_is_read(config):
    """Without a login this port shows numbers alone: the guide promises nothing else, and says what to set."""
    assert not config.http.may_show_traces
    guide = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    told = guide.partition("The status page and Grafana show the series red.")[2].partition("Take the release back")[0]
    assert "Alertmanager's page (*Info*) has the first bad version" in told
    assert "http.users" in told


def test_the_collector_s_pipelines_name_what_is_configured():
    """Receivers and exporters of each pipeline exist, and none stands idle."""
    collector = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text(encoding="utf-8"))
    pipelines = collector["service"]["pipelines"].values()
    for kind in ("receivers", "exporters"):
        assert {name for each in pipelines for name in each[kind]} == set(collector[kind])
    listens = {each["endpoint"].rpartition(":")[2] for each in collector["receivers"]["otlp"]["protocols"].values()}
    assert listens == {port.rpartition(":")[2] for port in SERVICES["otel-collector"]["ports"]}
    assert collector["exporters"]["otlphttp"]["endpoint"] == "http://mlflow:5000"
    assert collector["exporters"]["kafka"]["brokers"] == ["kafka:9092"]


def test_the_pager_prints_a_line_for_each_alert():
    """What Alertmanager posts is one line, whatever the texts hold; what is no notification is refused."""
    port = free_port()
    pager = subprocess.Popen([sys.executable, str(FOLDER / "pager.py"), str(port)], stdout=subprocess.PIPE, text=True)
    try:
        eventually(lambda: _answers(port), "the pager listens")
        alert = {
            "status": "firing",
            "labels": {"app": "shop", "kind": "production_regression", "scorer": "tone", "segment": "all"},
            "annotations": {"summary": "it fell\nPAGE\x1b[31m"},
        }
        address = f"http://127.0.0.1:{port}/pages"
        assert httpx.post(address, json={"alerts": [alert]}).status_code == 200
        assert pager.stdout.readline() == (
            "pages: FIRING shop production_regression tone all: it fell\\nPAGE\\x1b[31m\n"
        )
        assert httpx.post(address, json=["no notification"]).status_code == 400
    finally:
        pager.kill()
        pager.communicate()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").is_success
    except httpx.HTTPError:
        return False
