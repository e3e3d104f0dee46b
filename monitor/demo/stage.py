"""What the demo stands on: a broker, an endpoint, a configuration, and the daemon as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitor.config import Config, load_config
from monitor.demo.kafka_broker import KafkaBroker
from monitor.demo.scorers import SALES_EMAIL_SCORERS
from monitor.demo.scripted_endpoint import ScriptedEndpoint

TOPIC = "traces"
DATASET = "sales-email-production"
PARTITIONS = 3
_APP = "monitor.demo.sales_email:generate_sales_email"
_APP_ENVIRONMENT = ["OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"]
_STOP_TIMEOUT_S = 30


class DaemonFailed(Exception):
    """The daemon ended by itself; the text holds the end of its log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Everything that the acts use."""

    directory: Path
    config: Config
    config_file: Path
    endpoint: str
    scripted: bool
    daemon: subprocess.Popen[bytes]

    @property
    def log_file(self) -> Path:
        """What the daemon says."""
        return self.directory / "daemon.log"

    def check_daemon(self) -> None:
        """See that the daemon runs.

        Raises:
            DaemonFailed: it does not.
        """
        if self.daemon.poll() is not None:
            end = self.log_file.read_text(errors="replace")[-2000:]
            raise DaemonFailed(f"the daemon ended with exit code {self.daemon.returncode}:\n{end}")


@contextmanager
def set_stage(directory: Path, say: Callable[[str], None]) -> Iterator[Stage]:
    """Start everything, and end it in the opposite order."""
    with ExitStack() as stack:
        # MLflow puts artifacts of a store in a file below the working directory: all that the demo writes ends with it.
        stack.enter_context(chdir(directory))
        base_url, scripted = _endpoint(stack)
        say(_endpoint_words(base_url, scripted=scripted))
        say("Apache Kafka starts (the first time ever it is downloaded, about 60 MB)")
        broker = stack.enter_context(KafkaBroker(directory / "kafka", on_progress=say))
        for topic in (TOPIC, f"{TOPIC}.dead-letter"):
            broker.create_topic(topic, PARTITIONS)
        config_file = directory / "tracewatch.yaml"
        config_file.write_text(yaml.safe_dump(_configuration(directory, broker.bootstrap_servers), sort_keys=False))
        config = load_config([config_file], os.environ)
        say(f"The daemon starts: tracewatch run -c {config_file}")
        daemon = _start_daemon(config_file, directory / "daemon.log")
        stack.callback(_stop_daemon, daemon)
        yield Stage(
            directory=directory,
            config=config,
            config_file=config_file,
            endpoint=base_url,
            scripted=scripted,
            daemon=daemon,
        )


def _endpoint(stack: ExitStack) -> tuple[str, bool]:
    """The address of the model, and whether it is the scripted one; the demo's processes find it in the environment."""
    if os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL"):
        return os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1", False
    endpoint = stack.enter_context(ScriptedEndpoint())
    os.environ["OPENAI_BASE_URL"] = endpoint.base_url
    os.environ["OPENAI_API_KEY"] = "scripted"
    stack.callback(os.environ.pop, "OPENAI_BASE_URL", None)
    stack.callback(os.environ.pop, "OPENAI_API_KEY", None)
    return endpoint.base_url, True


def _endpoint_words(base_url: str, *, scripted: bool) -> str:
    if scripted:
        return (
            "Neither OPENAI_API_KEY nor OPENAI_BASE_URL is set: a local scripted stand-in for a model "
            f"writes and judges at {base_url}"
        )
    return f"The model at {base_url} writes and judges (your key, your money: about 900 short calls)"


def _configuration(directory: Path, bootstrap_servers: str) -> Mapping[str, Any]:
    return {
        "app": "sales-email",
        "source": {"bootstrap_servers": bootstrap_servers, "topic": TOPIC, "format": "mlflow+json"},
        "mlflow": {"tracking_uri": f"sqlite:///{directory / 'mlflow.db'}"},
        "ledger": {"url": f"sqlite:///{directory / 'ledger.db'}"},
        "judge": {
            "base_url": "${OPENAI_BASE_URL:-}",
            "api_key": "${OPENAI_API_KEY:-}",
            "model": "${OPENAI_MODEL:-gpt-5-mini}",
        },
        "sampling": {"rate": "always"},
        "segments": ["app_version"],
        "dataset": {"name": DATASET},
        "scorers": [dict(scorer) for scorer in SALES_EMAIL_SCORERS],
        "evaluation": {
            "schedule": {"cron": "0 */6 * * *"},
            "baseline": "v1",
            "versions": {
                version: {"function": f"{_APP}_{version}", "environment": _APP_ENVIRONMENT} for version in ("v1", "v2")
            },
        },
        # Nobody waits for minutes to pass in a demo; the bound on false alarms stays what it is.
        "statistics": {"block": "1s", "close_after": "1s"},
        "pipeline": {"upkeep_every": "1s"},
        "http": {"port": _port(9464)},
    }


def _port(wanted: int) -> int:
    """The port wanted, or a free one where it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free loopback port")


def _start_daemon(config_file: Path, log_file: Path) -> subprocess.Popen[bytes]:
    with log_file.open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "monitor", "run", "-c", str(config_file)], stdout=log, stderr=log
        )


def _stop_daemon(daemon: subprocess.Popen[bytes]) -> None:
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
