"""A real daemon with a secret in every place where one may stand: nothing that it says or keeps holds any of them."""

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy
import yaml
from guard import guarded
from scram import SCRAM_PASSWORD
from sqlalchemy.engine import make_url
from webhook_receiver import WebhookReceiver

from consumers.kafka_publish import publish_lines
from consumers.kafka_source import KafkaSource
from consumers.settings import SourceSettings
from tests.acceptance.running_daemon import eventually

JUDGE_KEY = "sk-judge-9d27c0ffee"
MLFLOW_TOKEN = "mlflow-token-41aa9e"
HEADER = "header-token-7bb01c"
SCRAPE = "scrape-password-c3d5"
WRONG = "never-right-8e8e8e"

HOOK = "Hook-t0ken-5d5d5d"
SIGNING = "signing-key-6c6c6c"

SECRETS = (JUDGE_KEY, MLFLOW_TOKEN, HEADER, SCRAPE, SCRAM_PASSWORD, WRONG, HOOK, SIGNING)


@pytest.fixture
def services(mlflow_server, judge_endpoint):
    """MLflow, the judge and a version, each behind a guard that wants its secret."""
    judge_root = judge_endpoint.base_url.removesuffix("/v1")
    with (
        guarded(mlflow_server, f"Bearer {MLFLOW_TOKEN}") as mlflow,
        guarded(judge_root, f"Bearer {JUDGE_KEY}") as judge,
        guarded("http://127.0.0.1:1", f"Bearer {HEADER}") as version,
    ):
        yield mlflow, judge, version


@pytest.fixture
def webhook():
    """A webhook whose address is a secret."""
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture
def configuration(services, guarded_kafka, guarded_topic, password_role, postgres_ledger_url, webhook, tmp_path):
    """The configuration, its secrets partly from files and partly from the environment."""
    mlflow, judge, version = services
    role, _, ledger_password = password_role
    files = {"token": MLFLOW_TOKEN, "header": HEADER, "ledger": quote(ledger_password, safe="")}
    for name, secret in files.items():
        (tmp_path / name).write_text(f"{secret}\n")
    url = make_url(postgres_ledger_url).set(username=role, password="PLACE")
    return {
        "app": "shop",
        "source": {
            "bootstrap_servers": guarded_kafka.address_of("SCRAM"),
            "topic": guarded_topic,
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": "bob",
            "sasl_plain_password": "${KAFKA_PASSWORD}",
        },
        "mlflow": {"tracking_uri": mlflow.address, "token": f"${{file:{tmp_path / 'token'}}}"},
        "ledger": {
            "url": url.render_as_string(hide_password=False).replace("PLACE", f"${{file:{tmp_path / 'ledger'}}}")
        },
        "judge": {
            "base_url": f"{judge.address}/v1",
            "api_key": "${JUDGE_KEY}",
            "model": "scripted",
            "timeout": "5s",
            "retries": 0,
        },
        "sampling": {"rate": "always"},
        "dataset": {"name": f"production-{guarded_topic}", "rate": "always"},
        "scorers": [
            {"name": "short", "use": "AnswerLength", "max_length": 40, "target": 0.9},
            {"name": "safety", "use": "Safety"},
        ],
        "evaluation": {
            "baseline": "v1",
            "versions": {
                name: {
                    "url": f"{version.address}/{name}",
                    "headers": {"Authorization": f"Bearer ${{file:{tmp_path / 'header'}}}"},
                }
                for name in ("v1", "v2")
            },
        },
        "alerts": {
            "receivers": [
                {"name": "ops", "kind": "webhook", "url": f"{webhook.address}/{HOOK}", "secret": SIGNING},
                {"name": "chat", "kind": "apprise", "url": f"json://{webhook.address.removeprefix('http://')}/{HOOK}"},
            ]
        },
        "http": {"port": 0, "users": {"prometheus": "${SCRAPE}"}},
        "pipeline": {"upkeep_every": "1s", "commit_every": "200ms"},
        "log": {"level": "debug"},
    }


def _environment(**changes):
    secrets = {"KAFKA_PASSWORD": SCRAM_PASSWORD, "JUDGE_KEY": JUDGE_KEY, "SCRAPE": SCRAPE}
    root = str(Path(__file__).parents[2])
    return {**os.environ, **secrets, "PYTHONPATH": root, "NO_PROXY": "127.0.0.1", **changes}


def _written(folder, values):
    file = folder / "tracewatch.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def _said(*arguments, **environment):
    command = [sys.executable, "-m", "monitor", *map(str, arguments)]
    done = subprocess.run(command, env=_environment(**environment), capture_output=True, check=False, timeout=600)
    return done.returncode, (done.stdout + done.stderr).decode()


def _leaks(text, *more):
    """The secrets in a text or in bytes, in the forms in which they may stand there."""
    content = text if isinstance(text, bytes) else text.encode()
    found = []
    for secret in (*SECRETS, *more):
        basic = base64.b64encode(f"prometheus:{secret}".encode())
        forms = {secret.encode(), quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode(), basic}
        found += [secret for form in forms if form in content]
    return found


def test_a_whole_life_tells_and_keeps_no_secret(
    configuration, webhook, guarded_kafka, guarded_topic, password_role, tmp_path, tmp_path_factory
):
    """check, run at debug level, its metrics and readiness, evaluate, status; then the ledger, MLflow, dead letters."""
    ledger_password = password_role[2]
    file = _written(tmp_path, configuration)
    heard = {}
    code, heard["check"] = _said("check", "-c", file)
    assert code == 0, heard["check"]
    publish_lines(
        SourceSettings(bootstrap_servers=guarded_kafka.bootstrap_servers, topic=guarded_topic),
        [json.dumps({"trace_id": "one", "inputs": {"q": "a"}, "outputs": "an answer"}).encode(), b"no event"],
    )
    heard |= _lived(file, tmp_path)
    code, heard["evaluate"] = _said("evaluate", "-c", file)
    assert "v2 against v1" in heard["evaluate"], heard["evaluate"]
    code, heard["page-test"] = _said("page-test", "-c", file)
    assert code == 0, heard["page-test"]
    webhook.answer(500)
    code, heard["page-test that fails"] = _said("page-test", "-c", file, "--within", "1")
    assert code == 3
    code, heard["status"] = _said("status", "-c", file)
    assert code == 0
    assert "safety" in heard["status"]
    heard["ledger"] = _ledger_rows(configuration["ledger"]["url"], ledger_password)
    heard["dead letters"] = _dead_letters(guarded_kafka, guarded_topic)
    assert "no event" in heard["dead letters"]
    stored = [path for path in tmp_path_factory.getbasetemp().glob("mlflow-server*/**/*") if path.is_file()]
    assert any(path.name == "store.db" and guarded_topic.encode() in path.read_bytes() for path in stored)
    heard |= {f"mlflow {path.name}": path.read_bytes() for path in stored}
    assert {name: leaks for name, text in heard.items() if (leaks := _leaks(text, ledger_password))} == {}


def _lived(file, folder):
    """The daemon until both verdicts are there: its output, its metrics and its readiness, to friend and stranger."""
    log = folder / "daemon.log"
    command = [sys.executable, "-m", "monitor", "run", "-c", str(file)]
    with log.open("wb") as out:
        daemon = subprocess.Popen(command, env=_environment(), stdout=out, stderr=out)
    login = ("prometheus", SCRAPE)
    heard = {}
    try:

        def alive():
            return daemon.poll() is None

        eventually(lambda: "address=" in log.read_text(), "the address is logged", while_true=alive)
        address = log.read_text().partition("address=")[2].split()[0]
        ready = f"{address}/readyz"
        try:
            eventually(lambda: httpx.get(ready, auth=login).status_code == 200, "ready", while_true=alive)
        except AssertionError as error:
            raise AssertionError(httpx.get(ready, auth=login).text + log.read_text()[-3000:]) from error
        metrics = f"{address}/metrics"
        eventually(lambda: httpx.get(metrics, auth=login).text.count('verdict="pass"} 1.0') >= 2, "two verdicts")
        heard["metrics"] = httpx.get(metrics, auth=login).text
        heard["metrics to a stranger"] = httpx.get(metrics).text
        heard["readyz"] = httpx.get(ready, auth=login).text
    finally:
        daemon.send_signal(signal.SIGTERM)
        code = daemon.wait(timeout=60)
    assert code == 0, log.read_text()[-3000:]
    return heard | {"log": log.read_text()}


def _ledger_rows(url, password):
    before, _, after = url.partition("${file:")
    engine = sqlalchemy.create_engine(before + quote(password, safe="") + after.partition("}")[2])
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        text = "\n".join(repr(row) for table in tables.sorted_tables for row in connection.execute(table.select()))
    engine.dispose()
    assert "safety" in text
    return text


def _dead_letters(kafka, topic):
    settings = SourceSettings(
        bootstrap_servers=kafka.bootstrap_servers, topic=f"{topic}.dead-letter", group_id="reader"
    )
    source, letters = KafkaSource(settings), []
    source.start()
    try:
        eventually(lambda: letters.extend(source.poll(0.1).messages) or letters, "a dead letter")
    finally:
        source.close()
    return repr(letters)


def test_wrong_secrets_are_refused_without_being_told(configuration, tmp_path, password_role):
    """Kafka, MLflow, the ledger and the judge each say that the secret is wrong, and `check` passes that on."""
    for name in ("token", "header", "ledger"):
        (tmp_path / name).write_text(WRONG)
    code, said = _said(
        "check", "-c", _written(tmp_path, configuration), KAFKA_PASSWORD=WRONG, JUDGE_KEY=WRONG, SCRAPE=WRONG
    )
    assert code == 1
    for name in ("source", "ledger", "mlflow", "judge"):
        assert f"FAILED {name}: " in said, said
    assert "Authentication failed" in said
    assert "password authentication failed" in said
    assert said.count("401") >= 2
    assert _leaks(said, password_role[2]) == []


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"ledger": {"url": f"mysql://anna:{WRONG}@db/x"}}, 2, "database of kind mysql"),
        ({"ledger": {"url": f"no-url:{WRONG}"}}, 2, "ledger.url"),
        ({"judge": {"base_url": "no-address", "api_key": WRONG}}, 2, "judge.base_url"),
        ({"mlflow": {"tracking_uri": f"http://anna:{WRONG}@h", "token": [WRONG]}}, 2, "mlflow.token"),
        ({"scorers": [{"name": "bad", "use": "leaky:explode"}]}, 1, "RuntimeError"),
    ],
    ids=["dialect", "url", "judge", "mlflow", "defect"],
)
def test_a_start_that_fails_tells_no_secret(tmp_path, change, code, words):
    """A wrong configuration, and a defect whose traceback would hold the key."""
    (tmp_path / "leaky.py").write_text(f"raise BaseException('the key is {JUDGE_KEY}, ' + 'RuntimeError')\n")
    values = {
        "app": "shop",
        "source": {"kind": "file", "path": str(tmp_path / "none.jsonl")},
        "mlflow": {"tracking_uri": f"sqlite:///{tmp_path / 'mlflow.db'}"},
        "ledger": {"url": f"sqlite:///{tmp_path / 'ledger.db'}"},
        "judge": {"api_key": "${JUDGE_KEY}"},
        "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 4}],
        "http": {"port": 0},
    } | change
    file = _written(tmp_path, values)
    environment = {"PYTHONPATH": f"{Path(__file__).parents[2]}{os.pathsep}{tmp_path}"}
    found, said = _said("run", "-c", file, **environment)
    assert words in said, said
    assert found == code, said
    assert _leaks(said) == []
    if code == 1:
        assert "the key is ***" in said
