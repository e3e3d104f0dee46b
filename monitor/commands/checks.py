"""Whether everything that a configuration names is there: one line each."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx

from consumers.errors import ConsumersError
from monitor.alerts.receivers import ReceiverSettings
from monitor.config import Config
from monitor.errors import MonitorError
from monitor.evaluation.settings import VersionSettings
from scorers.errors import ScorerError

_JUDGE_TIMEOUT = timedelta(seconds=10)
_VERSION_TIMEOUT_S = 60.0
_IMPORT = (
    "import functools,importlib,sys; sys.path.insert(0,''); m,f=sys.argv[1].split(':'); "
    "functools.reduce(getattr,f.split('.'),importlib.import_module(m))"
)


class _NotThereError(Exception):
    """What is asked for is not there; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What came of one check."""

    name: str
    passed: bool
    words: str


def run_checks(config: Config) -> Iterator[Check]:
    """Every connection and everything that has to be importable, checked one after the other as they are taken."""
    yield _check("source", lambda: _source(config))
    yield _check("ledger", lambda: _ledger(config))
    yield _check("mlflow", lambda: _mlflow(config))
    yield _check("judge", lambda: _judge(config))
    for name, check in _scorers(config):
        yield _check(f"scorer {name}", check)
    for receiver in config.alerts.receivers:
        yield _check(f"receiver {receiver.name}", lambda receiver=receiver: _receiver(receiver))  # type: ignore[misc]
    for name, version in config.evaluation.versions.items() if config.evaluation else ():
        yield _check(f"version {name}", lambda version=version: _version(version))  # type: ignore[misc]


def _check(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name=name, passed=True, words=check())
    except (_NotThereError, MonitorError, ConsumersError, ScorerError, OSError) as error:
        return Check(name=name, passed=False, words=" ".join(str(error).split()) or type(error).__name__)


def _source(config: Config) -> str:
    source = config.source
    if source.kind == "file":
        if source.path is None or not source.path.is_file():
            raise _NotThereError(f"there is no file {source.path}")
        return f"file {source.path}"
    from consumers.kafka_topics import describe_topic  # noqa: PLC0415 - kafka takes a while to import

    topic = describe_topic(source.connection(), source.topic)
    if topic is None:
        raise _NotThereError(f"Kafka at {source.bootstrap_servers} answers and has no topic {source.topic!r}")
    letters = describe_topic(source.connection(), source.dead_letters)
    state = "made at the first dead letter" if letters is None else f"{letters.partitions} partitions"
    topics = f"{source.topic} ({topic.partitions} partitions), {source.dead_letters} ({state})"
    return f"Kafka at {source.bootstrap_servers}: {topics}; group {source.group_id}"


def _ledger(config: Config) -> str:
    from monitor.ledger import open_configured  # noqa: PLC0415 - sqlalchemy takes a while to import

    ledger = open_configured(config.ledger)
    try:
        ledger.probe()
        return f"{ledger.database.engine.dialect.name} answers, its schema is up to date"
    finally:
        ledger.close()


def _mlflow(config: Config) -> str:
    from monitor.traces.mlflow_store import MlflowTraceStore  # noqa: PLC0415
    from monitor.tracking.transport import configure_mlflow_transport  # noqa: PLC0415 - mlflow takes seconds to import

    configure_mlflow_transport(config.mlflow)
    MlflowTraceStore(config.mlflow.tracking_uri, config.experiment).probe()
    return f"answers; experiment {config.experiment}"


def _judge(config: Config) -> str:
    from scorers.judges import check_judge  # noqa: PLC0415 - mlflow takes seconds to import

    timeout = min(_JUDGE_TIMEOUT, config.judge.timeout)
    address = check_judge(config.judge.model_copy(update={"timeout": timeout}))
    return f"{address} answers; model {config.judge.model}"


def _scorers(config: Config) -> Iterator[tuple[str, Callable[[], str]]]:
    from monitor.traces.mlflow_store import MlflowTraceStore  # noqa: PLC0415 - mlflow takes seconds to import
    from scorers.catalog import build_scorer  # noqa: PLC0415
    from scorers.registry import MlflowScorerRegistry  # noqa: PLC0415

    for settings in config.scorers:

        def check(settings=settings) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
            registry = None
            if settings.registered is not None:
                store = MlflowTraceStore(config.mlflow.tracking_uri, config.experiment)
                store.probe()
                registry = MlflowScorerRegistry(store.experiment_id)
            built = build_scorer(settings, config.judge, registry)
            return f"{built.kind}, version {built.version}"

        yield settings.name, check


def _receiver(receiver: ReceiverSettings) -> str:
    from monitor.delivery.assembly import notifier_of  # noqa: PLC0415 - brings MLflow's classes along

    return notifier_of(receiver).probe()


def _version(version: VersionSettings) -> str:
    if version.url is not None:
        from monitor.evaluation.http_candidate import client_of  # noqa: PLC0415

        try:
            with client_of(version) as client:
                # Any answer will do, "method not allowed" too: asking for an answer would cost one.
                answer = client.head(version.url, timeout=min(10.0, version.timeout.total_seconds()))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise _NotThereError(f"{version.url} cannot be reached: {error}") from error
        return f"{version.url} answers (HTTP {answer.status_code} to HEAD)"
    from monitor.evaluation.candidate import candidate_environment  # noqa: PLC0415

    command = [sys.executable, "-c", _IMPORT, version.function or ""]
    limit = min(_VERSION_TIMEOUT_S, version.startup_timeout.total_seconds())
    with tempfile.TemporaryDirectory(prefix="tracewatch-check-") as scratch:
        # As the evaluation will run it.
        seen = candidate_environment(version.environment, os.environ, Path(scratch))
        try:
            done = subprocess.run(command, env=seen, capture_output=True, text=True, timeout=limit, check=False)  # noqa: S603 - the operator's own function
        except subprocess.TimeoutExpired as error:
            raise _NotThereError(f"importing {version.function} took longer than {limit:g} s") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise _NotThereError(f"{version.function} cannot be imported from {os.getcwd()}: {last}")  # noqa: PTH109
    return f"{version.function} can be imported"
