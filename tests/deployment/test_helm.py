"""deploy/helm without a cluster: the chart is accepted, and what it renders is what Kubernetes and Tracewatch read."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from machine import lacking

from monitor.config import load_config

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "tracewatch"
VALUES = {name: CHART / "ci" / f"{name}-values.yaml" for name in ("minimal", "all", "file")}
KUBERNETES = "1.34"
NOT_IN_KUBERNETES = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
SECRETS = {"LEDGER_PASSWORD": "x", "OPENAI_API_KEY": "x"}


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run helm."""
    if shutil.which("helm") is None:
        lacking("helm is not installed")
    command = ["helm", *map(str, arguments), "--kube-version", f"{KUBERNETES}.0"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rendered(values: Path, *options: str) -> dict[str, dict[str, Any]]:
    """The objects of a release by kind and name."""
    done = helm("template", "shop", CHART, "--values", values, *options)
    assert done.returncode == 0, done.stderr
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}


def notes(folder: Path, *options: str) -> str:
    """What helm says after it has installed a release: as an object of it, for helm shows it with a cluster alone."""
    chart = folder / "tracewatch"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "files" / "notes.txt")
    (chart / "templates" / "notes.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\n"
        'data: {notes: {{ tpl (.Files.Get "files/notes.txt") . | quote }}}\n'
    )
    done = helm("template", "shop", chart, "--values", VALUES["all"], *options)
    assert done.returncode == 0, done.stderr
    [said] = [each for each in yaml.safe_load_all(done.stdout) if each and each["metadata"]["name"] == "notes"]
    text: str = said["data"]["notes"]
    return text


@pytest.fixture(scope="module")
def releases() -> Mapping[str, Mapping[str, dict[str, Any]]]:
    """What each file of values renders."""
    return {name: rendered(values) for name, values in VALUES.items()}


def pod(release: Mapping[str, dict[str, Any]], name: str = "Deployment/shop-tracewatch") -> dict[str, Any]:
    found: dict[str, Any] = release[name]["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_helm_finds_nothing(values: Path) -> None:
    """Warnings count."""
    done = helm("lint", "--strict", CHART, "--values", values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", VALUES)
def test_kubernetes_takes_every_object(releases: Any, name: str) -> None:
    """By its own schemas, in which unknown fields are errors."""
    for each in releases[name].values():
        if each["kind"] not in NOT_IN_KUBERNETES:
            kubernetes_validate.validate(each, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", VALUES)
def test_the_daemon_reads_its_configuration(releases: Any, name: str, tmp_path: Path) -> None:
    """And listens where the probes ask, whatever the values say."""
    text = releases[name]["ConfigMap/shop-tracewatch"]["data"]["tracewatch.yaml"]
    (tmp_path / "tracewatch.yaml").write_text(text)
    config = load_config([tmp_path / "tracewatch.yaml"], SECRETS)
    assert (config.http.host, config.http.port) == ("0.0.0.0", 9464)  # noqa: S104 - in a pod
    assert [port["containerPort"] for port in pod(releases[name])["containers"][0]["ports"]] == [9464]


@pytest.mark.parametrize("name", VALUES)
def test_every_pod_has_no_rights(releases: Any, name: str) -> None:
    """Not root, nothing to write on, no capability, no way to Kubernetes' API."""
    pods = [
        each["spec"]["template"]["spec"] for each in releases[name].values() if each["kind"] in {"Deployment", "Job"}
    ]
    assert len(pods) == (2 if name == "all" else 1)
    for each in pods:
        assert each["automountServiceAccountToken"] is False
        assert (each["securityContext"]["runAsNonRoot"], each["securityContext"]["runAsUser"]) == (True, 10001)
        [container] = each["containers"]
        confined = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["securityContext"] == confined
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/etc/tracewatch", "/var/lib/tracewatch", "/tmp"} <= mounted  # noqa: S108 - in the pod
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in each["volumes"]}
    assert not [each for each in releases[name] if each.split("/")[0] in {"Role", "ClusterRole", "RoleBinding"}]


def test_images_come_by_digest_and_from_the_cluster_s_registry(releases: Any) -> None:
    """`global.imageRegistry` wins, as in other charts."""
    assert pod(releases["file"])["containers"][0]["image"] == f"registry.example/tracewatch@sha256:{'a' * 64}"
    assert pod(releases["minimal"])["containers"][0]["image"].startswith("tracewatch:")


def test_everything_that_is_asked_for_is_there(releases: Any) -> None:
    """And nothing of it where it is not."""
    kinds = {each.split("/")[0] for each in releases["all"]}
    assert kinds >= {*NOT_IN_KUBERNETES, "Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "Job"}
    assert {each.split("/")[0] for each in releases["minimal"]} == {
        "Deployment",
        "Service",
        "ServiceAccount",
        "ConfigMap",
    }
    deployment = releases["all"]["Deployment/shop-tracewatch"]
    assert "replicas" not in deployment["spec"]
    assert pod(releases["all"])["containers"][0]["envFrom"] == [{"secretRef": {"name": "tracewatch"}}]


def test_the_hook_migrates_before_anything_of_the_release_is_there(releases: Any) -> None:
    """What it needs are hooks as well, of a lower weight: settings, account, and the way to the database."""
    names = [f"{kind}/shop-tracewatch-migration" for kind in ("Job", "ConfigMap", "ServiceAccount", "NetworkPolicy")]
    job, *needed = (releases["all"][name] for name in names)
    weight = int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    for each in needed:
        assert each["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) < weight
    settings, account, policy = needed
    inside = pod(releases["all"], "Job/shop-tracewatch-migration")
    assert inside["serviceAccountName"] == account["metadata"]["name"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert not releases["all"]["Service/shop-tracewatch"]["spec"]["selector"].items() <= labels.items()
    assert inside["containers"][0]["args"] == ["migrate", "-c", "/etc/tracewatch/tracewatch.yaml"]
    assert inside["volumes"][0]["configMap"]["name"] == settings["metadata"]["name"]


def test_the_scaled_object_and_the_monitor_point_at_what_is_there(releases: Any) -> None:
    """The group whose lag is asked for is the daemon's own."""
    release = releases["all"]
    scaled = release["ScaledObject/shop-tracewatch"]["spec"]
    assert f"Deployment/{scaled['scaleTargetRef']['name']}" in release
    [trigger] = scaled["triggers"]
    assert (trigger["type"], trigger["metadata"]["consumerGroup"]) == ("kafka", "tracewatch-shop")
    monitor, service = (release[f"{kind}/shop-tracewatch"] for kind in ("ServiceMonitor", "Service"))
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    labels = release["Deployment/shop-tracewatch"]["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_prometheus_takes_the_rules(releases: Any, promtool: Any, tmp_path: Path) -> None:
    """They are those of deploy/prometheus, word for word."""
    groups = releases["all"]["PrometheusRule/shop-tracewatch"]["spec"]["groups"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    assert "SUCCESS" in promtool("check", "rules", "rules.yml", folder=tmp_path)
    sources = [ROOT / "deploy" / "prometheus" / name for name in ("health.rules.yml", "quality.rules.yml")]
    assert groups == [group for source in sources for group in yaml.safe_load(source.read_text())["groups"]]


def test_grafana_takes_the_dashboards(releases: Any) -> None:
    """They are those of deploy/grafana."""
    data = releases["all"]["ConfigMap/shop-tracewatch-dashboards"]["data"]
    sources = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
    assert {name: json.loads(text) for name, text in data.items()} == {
        f"tracewatch-{source.name}": json.loads(source.read_text()) for source in sources
    }


def test_the_chart_s_copies_are_up_to_date() -> None:
    """A chart cannot read what lies outside of it: `make chart` copies it."""
    copies = {path.name: path.read_bytes() for path in (CHART / "files").rglob("*.*")}
    sources = [ROOT / "deploy" / "prometheus" / name for name in ("health.rules.yml", "quality.rules.yml")]
    sources += (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")
    assert copies == {path.name: path.read_bytes() for path in sources}


def test_the_longest_name_of_a_release_fits() -> None:
    """Kubernetes takes 63 characters, Helm 53 for a release."""
    done = helm("template", "s" * 53, CHART, "--values", VALUES["all"])
    assert done.returncode == 0, done.stderr
    names = [each["metadata"]["name"] for each in yaml.safe_load_all(done.stdout) if each]
    assert max(map(len, names)) <= 63


def test_pods_are_spread_by_the_labels_of_the_release(releases: Any) -> None:
    """A constraint without a selector would count nothing."""
    deployment = releases["minimal"]["Deployment/shop-tracewatch"]["spec"]
    [constraint] = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert constraint["labelSelector"] == deployment["selector"]


@pytest.mark.parametrize(
    ("values", "option", "words"),
    [
        ("minimal", "replicas=2", "replicas: more than one replica needs a ledger on PostgreSQL"),
        ("minimal", "keda.enabled=true", "keda.enabled: scaling needs a ledger on PostgreSQL"),
        ("minimal", "migration.enabled=true", "migration.enabled: a job cannot reach a ledger on SQLite"),
        ("all", "config.ledger.url=${LEDGER:-sqlite:///x.db}", "keda.enabled: scaling needs"),
        ("all", "config.source.bootstrap_servers=${KAFKA}", "config.source.bootstrap_servers must be written out"),
        ("all", "config.source.topic=", "config.source.topic must be written out"),
        ("all", "config.source.kind=file", "config.source is no Kafka topic"),
        ("all", "keda.minReplicas=9", "keda.minReplicas: must not be greater"),
        ("all", "config.source.group_id=${GROUP}", "config.source.group_id must be written out"),
        ("all", "persistence.enabled=true", "persistence.enabled: replicas cannot share one volume"),
        ("all", "config.mlflow.tracking_uri=null", "config.mlflow.tracking_uri: more than one replica needs"),
        ("all", "config.http.token=${TOKEN}", "serviceMonitor.endpoint: config.http asks for a login"),
        ("all", "config.http.users.anna=${PASSWORD}", "serviceMonitor.endpoint: config.http asks for a login"),
        ("minimal", "terminationGracePeriodSeconds=29", "terminationGracePeriodSeconds: must be longer"),
        ("minimal", "config.pipeline.shutdown_deadline=1.5m", "terminationGracePeriodSeconds: must be longer"),
        ("minimal", "config.pipeline.shutdown_deadline=1d", "terminationGracePeriodSeconds: must be longer"),
        ("minimal", "config.pipeline=null", "pipeline"),
        ("minimal", "image.digest=abc", "digest"),
        ("minimal", "replica=2", "replica"),
        ("minimal", "service.port=0", "port"),
        ("minimal", "config.app=", "app"),
        ("minimal", r"podLabels.app\.kubernetes\.io/name=x", "app.kubernetes.io/name"),
    ],
)
def test_wrong_values_are_refused_by_their_name(values: str, option: str, words: str) -> None:
    """Before anything reaches a cluster."""
    done = helm("template", "shop", CHART, "--values", VALUES[values], "--set", option)
    assert done.returncode != 0
    assert words in done.stderr


def test_a_release_must_say_what_it_watches() -> None:
    """No default stands in for an application, a stream and scorers."""
    done = helm("template", "shop", CHART)
    assert done.returncode != 0
    assert all(key in done.stderr for key in ("app", "source", "scorers"))


def test_values_may_be_taken_away() -> None:
    """As other charts allow."""
    release = rendered(VALUES["all"], "--set", "global=null", "--set", "dashboards.labels.grafana_dashboard=null")
    assert "ConfigMap/shop-tracewatch-dashboards" in release


def test_a_port_with_tls_and_a_login_is_asked_as_it_wants_to_be() -> None:
    """Plain probes would end a healthy pod for ever, and a scrape without a login is refused."""
    release = rendered(
        VALUES["all"],
        *("--set", "config.http.tls.cert_file=/tls/tls.crt", "--set", "config.http.tls.key_file=/tls/tls.key"),
        *("--set", "config.http.token=${TOKEN}"),
        *("--set", "serviceMonitor.endpoint.authorization.credentials.name=tracewatch"),
        *("--set", "serviceMonitor.endpoint.tlsConfig.insecureSkipVerify=true"),
    )
    [container] = pod(release)["containers"]
    probes = [container[name]["httpGet"]["scheme"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert probes == ["HTTPS"] * 3
    [endpoint] = release["ServiceMonitor/shop-tracewatch"]["spec"]["endpoints"]
    assert (endpoint["scheme"], endpoint["port"]) == ("https", "http")
    assert endpoint["authorization"] == {"credentials": {"name": "tracewatch"}}


def test_a_volume_is_never_asked_for_by_two_pods_at_once() -> None:
    """With a surge the new pod would wait for the old one's volume, and the old one for the new."""
    release = rendered(VALUES["file"], "--set", "config.ledger.url=postgresql+psycopg://t@postgres/t")
    assert release["Deployment/shop-tracewatch"]["spec"]["strategy"] == {"type": "Recreate"}


def test_the_links_of_alerts_begin_where_the_release_says() -> None:
    """The rules name placeholders."""
    release = rendered(
        VALUES["all"],
        *("--set", "prometheusRule.runbooksUrl=https://wiki.corp/tracewatch/"),
        *("--set", "prometheusRule.grafanaUrl=https://grafana.corp"),
    )
    text = yaml.safe_dump(release["PrometheusRule/shop-tracewatch"], width=10_000)
    assert "https://wiki.corp/tracewatch/absent.md" in text
    assert "https://grafana.corp/d/tracewatch-overview" in text
    assert ".example" not in text


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({}, {"runbooksUrl", "grafanaUrl"}),
        ({"runbooksUrl": "https://wiki.corp/tracewatch"}, {"grafanaUrl"}),
        ({"runbooksUrl": "https://wiki.corp/tracewatch", "grafanaUrl": "https://grafana.corp"}, set()),
        ({"enabled": "false"}, set()),
    ],
)
def test_who_installs_rules_with_links_that_lead_nowhere_is_warned(
    tmp_path: Path, options: Mapping[str, str], missing: set[str]
) -> None:
    """At night it is too late to learn that a runbook's address is an example."""
    given = [each for name, value in options.items() for each in ("--set", f"prometheusRule.{name}={value}")]
    said = notes(tmp_path, *given)
    assert "port-forward service/shop-tracewatch" in said
    assert set(re.findall(r"prometheusRule\.(\w+)", said)) == missing


def test_the_runbooks_name_what_a_release_is_called(releases: Any) -> None:
    """Their commands are copied at night."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "runbooks").glob("*.md"))
    named = set(re.findall(r"(deploy|scaledobject)/([\w-]*tracewatch)", text))
    assert named == {("deploy", "RELEASE-tracewatch"), ("scaledobject", "RELEASE-tracewatch")}
    assert {"Deployment/shop-tracewatch", "ScaledObject/shop-tracewatch"} <= releases["all"].keys()
    labels = releases["all"]["Deployment/shop-tracewatch"]["spec"]["template"]["metadata"]["labels"]
    assert set(re.findall(r"--selector (\S+)=RELEASE", text)) == {"app.kubernetes.io/instance"}
    assert labels["app.kubernetes.io/instance"] == "shop"


def test_large_and_short_values_keep_their_meaning() -> None:
    """YAML reads a million as a float, and half a second is less than 500."""
    release = rendered(
        VALUES["all"], "--set-json", "keda.lagThreshold=1000000", "--set", "config.pipeline.shutdown_deadline=500ms"
    )
    [trigger] = release["ScaledObject/shop-tracewatch"]["spec"]["triggers"]
    assert trigger["metadata"]["lagThreshold"] == "1000000"
