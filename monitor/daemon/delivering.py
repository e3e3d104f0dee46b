"""From the configuration to the delivery of alerts: who is told, what messages are made of, and what the duties are."""

import threading
from collections.abc import Callable, Mapping
from functools import partial

from structlog.typing import FilteringBoundLogger

from monitor.clock import Clock
from monitor.config import Config
from monitor.delivery.assembly import receiver_of
from monitor.delivery.links import places_of
from monitor.delivery.message import Sender
from monitor.delivery.outbox import Outbox, Outcome
from monitor.delivery.texts import ExampleTexts
from monitor.errors import MonitorError
from monitor.ledger.deliveries import Deliveries
from monitor.ledger.rows import LeaseToken
from monitor.traces.mlflow_store import MlflowTraceStore
from monitor.traces.redaction import Redaction


def outbox_of(
    *,
    config: Config,
    deliveries: Deliveries,
    traces: MlflowTraceStore,
    count: Callable[[str, Outcome], None],
    stop: threading.Event,
    clock: Clock,
    log: FilteringBoundLogger,
) -> Outbox:
    """The outbox of the configured receivers; nobody is contacted."""
    return Outbox(
        deliveries=deliveries,
        receivers=[receiver_of(settings) for settings in config.alerts.told],
        sender=partial(_sender, config, traces),
        texts_of=ExampleTexts(traces, Redaction(config.redaction), log).of,
        count=count,
        go_on=lambda: not stop.is_set(),
        clock=clock,
        log=log,
    )


def sending_of(outbox: Outbox) -> Mapping[str, Callable[[LeaseToken], None]]:
    """Job -> what it does: one for each receiver, so that a slow one holds up nobody else."""
    return {job_of(each.name): partial(outbox.send, each) for each in outbox.receivers}


def job_of(receiver: str) -> str:
    """The name of the job that tells a receiver."""
    return f"delivery:{receiver}"


def _sender(config: Config, traces: MlflowTraceStore) -> Sender:
    try:
        experiment_id: str | None = traces.experiment_id
    except MonitorError:
        # A page does not wait for MLflow: it goes out without links to it.
        experiment_id = None
    return Sender(
        app=config.app,
        labels=config.labels,
        places=places_of(config.alerts.links, config.mlflow.tracking_uri, experiment_id),
        redact=Redaction(config.redaction).text,
    )
