"""The process in which a version's function runs sees nothing of the daemon's but what the configuration names."""

import json
import os
from pathlib import Path

import pytest

from monitor.commands.checks import run_checks
from monitor.config import Config
from monitor.evaluation.candidate import FunctionCandidate
from monitor.evaluation.evaluator import EvaluationRow
from monitor.evaluation.settings import VersionSettings

SECRETS = {
    "OPENAI_API_KEY": "sk-daemons-own",
    "AWS_ACCESS_KEY_ID": "AKIADAEMONSOWN",
    "AWS_SECRET_ACCESS_KEY": "aws-daemons-own",
    "MLFLOW_TRACKING_TOKEN": "mlflow-daemons-own",
    "MLFLOW_TRACKING_URI": "postgresql://anna:secret@db/mlflow",
    "TRACEWATCH_LEDGER_URL": "postgresql://anna:secret@db/ledger",
    "KAFKA_PASSWORD": "kafka-daemons-own",
    "HTTPS_PROXY": "http://anna:secret@proxy",
    "PGPASSWORD": "pg-daemons-own",
}
NEEDED = {
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "XDG_CACHE_HOME",
    "PYTHONUNBUFFERED",
}  # fmt: skip
DUMPING = """
import os, pathlib
def dump(q):
    held = {}
    for each in pathlib.Path("/proc/self/fd").iterdir():
        try:
            held[each.name] = os.readlink(each)
        except OSError:
            continue
    initial = pathlib.Path("/proc/self/environ").read_bytes().decode().split(chr(0))
    return {"environ": dict(os.environ), "held": held, "initial": initial}
def imports():
    pass
if os.environ.get("OPENAI_API_KEY"):
    raise RuntimeError("the key is here: " + os.environ["OPENAI_API_KEY"])
"""


@pytest.fixture
def dumped(tmp_path, monkeypatch):
    """What a version sees that may see SHOP_MODE, in a daemon that holds secrets and open files."""
    (tmp_path / "dumping.py").write_text(DUMPING)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path)]))
    monkeypatch.setenv("SHOP_MODE", "test")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    secret_file = tmp_path / "open-in-the-daemon"
    secret_file.write_text("secret")
    with secret_file.open() as held:
        os.set_inheritable(held.fileno(), True)
        candidate = FunctionCandidate("v1", VersionSettings(function="dumping:dump", environment=("SHOP_MODE",)))
        try:
            (answer,) = candidate.answer([EvaluationRow(inputs={"q": "x"}, record_id="r", expectations={})], "run")
        finally:
            candidate.close()
    spans = json.loads(answer.trace_json)["data"]["spans"]
    outputs = json.loads(spans[0]["attributes"]["mlflow.spanOutputs"])
    return outputs if isinstance(outputs, dict) else json.loads(outputs)


def test_a_version_sees_what_is_named_and_what_any_program_needs(dumped):
    """No key, no address of ours, no proxy's password; MLflow's variables are its own, not the daemon's."""
    environ = dumped["environ"]
    assert environ["SHOP_MODE"] == "test"
    foreign = {name for name in environ if name not in NEEDED and not name.startswith("MLFLOW_")}
    assert foreign == {"SHOP_MODE"}
    shown = json.dumps(dumped)
    assert [value for value in SECRETS.values() if value in shown] == []


def test_a_version_holds_no_file_of_the_daemons(dumped):
    """Not even one that the daemon has marked for its children."""
    assert not any("open-in-the-daemon" in target for target in dumped["held"].values())


def test_check_imports_a_version_in_the_same_narrow_environment(tmp_path, monkeypatch):
    """Trying a version out shows it no more than running it."""
    (tmp_path / "dumping.py").write_text(DUMPING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", SECRETS["OPENAI_API_KEY"])
    config = Config.model_validate(
        {
            "app": "shop",
            "source": {"kind": "file", "path": "none"},
            "mlflow": {"tracking_uri": "http://127.0.0.1:1"},
            "ledger": {"url": "sqlite://"},
            "judge": {"base_url": "http://127.0.0.1:1/v1", "timeout": "1s"},
            "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 4}],
            "evaluation": {"baseline": "v1", "versions": {"v1": {"function": "dumping:imports"}}},
        }
    )
    (version,) = (check for check in run_checks(config) if check.name == "version v1")
    assert version.passed, version.words


def test_check_finds_a_version_where_the_evaluation_will_find_it(tmp_path, monkeypatch):
    """Own code comes into a container by PYTHONPATH: what the daemon can run, `check` does not call missing."""
    code, elsewhere = tmp_path / "code", tmp_path / "state"
    code.mkdir()
    elsewhere.mkdir()
    (code / "mounted.py").write_text("def answer(question): return question\n")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("PYTHONPATH", str(code))
    config = Config.model_validate(
        {
            "app": "shop",
            "source": {"kind": "file", "path": "none"},
            "mlflow": {"tracking_uri": "http://127.0.0.1:1"},
            "ledger": {"url": "sqlite://"},
            "scorers": [{"name": "short", "use": "AnswerLength", "max_length": 4}],
            "evaluation": {"baseline": "v1", "versions": {"v1": {"function": "mounted:answer"}}},
        }
    )
    (version,) = (check for check in run_checks(config) if check.name == "version v1")
    assert version.passed, version.words
