"""The command line as a process of its own."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tracewatch(tmp_path):
    """Run the command in an empty folder, with nothing reachable; keyword arguments are environment variables."""

    def run(*arguments, timeout=120, **environ):
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "monitor", *arguments],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true", **environ},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


def test_the_version_is_that_of_the_distribution(tracewatch):
    """For bug reports and images."""
    done = tracewatch("--version")
    assert (done.returncode, done.stdout) == (0, f"tracewatch {importlib.metadata.version('tracewatch')}\n")


def test_help_lists_every_command_and_imports_nothing_heavy(tracewatch):
    """Help answers at once: no command's parts are imported for it."""
    done = tracewatch("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    commands = ("init", "run", "check", "demo", "evaluate", "compare", "publish", "status", "config-schema")
    for command in (*commands, "replay", "dead-letters", "explain", "reset", "migrate", "backtest", "page-test"):
        assert command in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"mlflow", "pandas", "kafka", "sqlalchemy", "openai", "scipy"}


def test_a_bad_configuration_is_exit_2_with_the_key_and_no_traceback(tracewatch, tmp_path):
    """What is wrong is told in words on standard error."""
    (tmp_path / "bad.yaml").write_text("app: shop\nsurce: {}\nscorers: [{name: safety, use: Safety}]\n")
    done = tracewatch("run", "-c", "bad.yaml")
    assert done.returncode == 2
    assert "bad.yaml:2: surce: unknown key" in done.stderr
    assert "did you mean 'source'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_option_is_exit_2(tracewatch):
    """A wrong command line is told apart from an answer of no."""
    assert tracewatch("run", "--nonsense").returncode == 2


def test_init_writes_a_file_that_check_understands_and_never_overwrites(tracewatch, tmp_path):
    """With nothing reachable, check prints a line for each connection and is exit 1."""
    assert tracewatch("init", "mine.yaml", "--app", "shop").returncode == 0
    before = (tmp_path / "mine.yaml").read_text()
    again = tracewatch("init", "mine.yaml")
    assert (again.returncode, (tmp_path / "mine.yaml").read_text()) == (2, before)

    away = "http://127.0.0.1:1"
    done = tracewatch(
        "check",
        "-c",
        "mine.yaml",
        KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1",
        MLFLOW_TRACKING_URI=away,
        OPENAI_BASE_URL=f"{away}/v1",
        OPENAI_API_KEY="sk-very-secret",
    )
    assert done.returncode == 1
    for part in ("FAILED source: Kafka", "FAILED mlflow", "FAILED judge", "ok     ledger", "ok     scorer not_empty"):
        assert part in done.stdout
    assert "432,000 judge calls a month" in done.stdout
    assert "Traceback" not in done.stderr
    assert "sk-very-secret" not in done.stdout + done.stderr

    status = tracewatch("status", "-c", "mine.yaml")
    assert status.returncode == 0
    assert "Positions: none yet" in status.stdout


def test_config_schema_is_json_with_a_meaning_for_every_key(tracewatch):
    """Editors read it; people find each top-level key explained in it."""
    done = tracewatch("config-schema")
    schema = json.loads(done.stdout)
    assert {"app", "source", "scorers", "evaluation"} <= schema["properties"].keys()
    for key in schema["properties"].values():
        assert "description" in key or schema["$defs"][key["$ref"].rpartition("/")[2]]["description"]


@pytest.mark.parametrize("command", [("replay", "letters"), ("dead-letters",), ("reset", "--to", "end", "--yes")])
def test_a_broker_that_is_away_is_exit_3_for_what_needs_it(tracewatch, command):
    """In words, and at once."""
    tracewatch("init", "mine.yaml")
    name, *rest = command
    done = tracewatch(name, "-c", "mine.yaml", *rest, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_time_a_wrong_archive_and_the_whole_stream_are_exit_2(tracewatch, tmp_path):
    """What is wrong is told with what is allowed."""
    tracewatch("init", "mine.yaml")
    (tmp_path / "events.jsonl").write_text('{"trace_id": "t"}\n')
    for arguments, words in (
        (("letters", "--since", "tuesday"), "2h"),
        (("events.jsonl",), "tracewatch publish"),
        (("traces",), "--since"),
    ):
        done = tracewatch("replay", "-c", "mine.yaml", *arguments)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_publish_with_no_broker_is_exit_3(tracewatch, tmp_path):
    """A service that is away is told apart from a wrong command line."""
    (tmp_path / "events.jsonl").write_text("{}\n")
    tracewatch("init", "mine.yaml")
    done = tracewatch("publish", "-c", "mine.yaml", "events.jsonl", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_says_what_is_pending_and_brings_the_ledger_up_to_date(tracewatch, tmp_path):
    """`--check` is exit 1 while a migration is pending and changes nothing; `run` that may not migrate names it."""
    from monitor.ledger.revisions import OURS

    (tmp_path / "shop.yaml").write_text(
        "app: shop\nledger: {url: 'sqlite:///ledger.db', migrate: manual}\nhttp: {port: 0}\n"
        "source: {kind: file, path: events.jsonl}\nscorers: [{name: short, use: AnswerLength, max_length: 9}]\n"
    )
    (tmp_path / "events.jsonl").write_text("")
    refused = tracewatch("run", "-c", "shop.yaml")
    assert refused.returncode == 2
    assert "the ledger is empty" in refused.stderr
    assert "run `tracewatch migrate -c FILE`" in refused.stderr

    pending = tracewatch("migrate", "-c", "shop.yaml", "--check")
    assert (pending.returncode, pending.stdout) == (1, f"the ledger is empty: revision {OURS.head} is pending\n")
    assert tracewatch("migrate", "-c", "shop.yaml", "--check").returncode == 1
    done = tracewatch("migrate", "-c", "shop.yaml")
    assert (done.returncode, done.stdout) == (0, f"the ledger was empty and is at revision {OURS.head} now\n")
    for again in (tracewatch("migrate", "-c", "shop.yaml"), tracewatch("migrate", "-c", "shop.yaml", "--check")):
        assert (again.returncode, again.stdout) == (0, f"the ledger is at revision {OURS.head}: nothing to do\n")
    assert tracewatch("status", "-c", "shop.yaml").returncode == 0
