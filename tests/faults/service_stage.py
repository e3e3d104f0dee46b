"""One daemon with each of its four services behind a proxy of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy

from consumers.settings import SourceSettings
from monitor.config import Config
from monitor.demo.kafka_broker import KafkaBroker
from monitor.demo.scripted_endpoint import ScriptedEndpoint
from tests.faults.tcp_proxy import TcpProxy
from tests.faults.trial import fault_config

TOPIC = "traces"
PARTITIONS = 3
# Clients notice in seconds what production gives half a minute.
_CLIENTS_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ASYNC_TRACE_LOGGING_RETRY_TIMEOUT": "3",
}


@dataclass(frozen=True, kw_only=True)
class Services:
    """Real servers, and the proxy in front of each, by the name under which readiness knows it."""

    kafka: KafkaBroker
    judge: ScriptedEndpoint
    mlflow_uri: str
    ledger_url: str
    proxies: Mapping[str, TcpProxy]

    def direct_source(self) -> SourceSettings:
        """The topic, past the proxy."""
        return SourceSettings(bootstrap_servers=self.kafka.bootstrap_servers, topic=TOPIC)

    def config(self) -> Config:
        """A daemon whose every connection goes through a proxy."""
        proxied = {name: proxy.address for name, proxy in self.proxies.items()}
        ledger = sqlalchemy.make_url(self.ledger_url).set(
            host="127.0.0.1", port=self.proxies["ledger"].port, query={"connect_timeout": "2"}
        )
        return fault_config(
            proxied["kafka"],
            TOPIC,
            f"http://{proxied['mlflow']}",
            ledger.render_as_string(hide_password=False),
            f"http://{proxied['judge']}/v1",
        )


@contextmanager
def services_behind_proxies(folder: Path, mlflow_uri: str, ledger_url: str) -> Iterator[Services]:
    """Start a broker and a judge, and put a proxy in front of each of the four; the topic is there and empty."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in _CLIENTS_ENVIRONMENT.items():
            patch.setenv(name, value)
        judge = stack.enter_context(ScriptedEndpoint())
        kafka = KafkaBroker(folder / "kafka", listeners={"PROXIED": "PLAINTEXT"})
        upstreams = {
            "kafka": _host_and_port(kafka.address_of("PROXIED")),
            "mlflow": _host_and_port(mlflow_uri.removeprefix("http://")),
            "judge": _host_and_port(judge.base_url.removeprefix("http://").removesuffix("/v1")),
            "ledger": _unix_socket_of(ledger_url),
        }
        proxies = {name: stack.enter_context(TcpProxy(upstream)) for name, upstream in upstreams.items()}
        kafka.advertise("PROXIED", proxies["kafka"].address)
        stack.enter_context(kafka)
        kafka.create_topic(TOPIC, PARTITIONS)
        yield Services(kafka=kafka, judge=judge, mlflow_uri=mlflow_uri, ledger_url=ledger_url, proxies=proxies)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _unix_socket_of(postgres_url: str) -> Path:
    url = sqlalchemy.make_url(postgres_url)
    return Path(str(url.query["host"])) / f".s.PGSQL.{url.port or 5432}"
