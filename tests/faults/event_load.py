"""Events that keep coming, whatever happens to the services behind them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from consumers.kafka_producer import ReliableProducer
from consumers.kafka_publish import publish_lines
from consumers.settings import SourceSettings
from tests.patient_source import patient


def event(trace_id: str, **more: Any) -> bytes:
    """A trace event that the scripted judge calls safe."""
    value = {"trace_id": trace_id, "inputs": {"question": f"q of {trace_id}"}, "outputs": f"answer to {trace_id}"}
    return json.dumps(value | more).encode()


def publish_events(source: SourceSettings, trace_ids: Sequence[str]) -> None:
    """Put an event for each id into the topic, all of them acknowledged."""
    publish_lines(source, [event(trace_id) for trace_id in trace_ids])


class EventLoad:
    """Publishes events at a steady rate, each acknowledged, as a context manager.

    `source` is a way to the topic that no fault touches. Trace ids are `PREFIX-NUMBER`, numbers without a hole.
    """

    def __init__(
        self,
        source: SourceSettings,
        prefix: str,
        *,
        per_second: float = 6.0,
        make: Callable[[str], bytes] = event,
    ) -> None:
        self.prefix = prefix
        self._source = patient(source)
        self._pause_s = 1.0 / per_second
        self._make = make
        self._enough = threading.Event()
        self._sent = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._publish, name=f"load {prefix}")

    @property
    def sent(self) -> int:
        """How many are in the topic."""
        if self._failure is not None:
            raise self._failure
        return self._sent

    @property
    def trace_ids(self) -> list[str]:
        """The source ids of those in the topic."""
        return [f"{self.prefix}-{number}" for number in range(self.sent)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """End it; returns how many events it has published."""
        self._enough.set()
        if self._thread.is_alive():
            self._thread.join()
        return self.sent

    def _publish(self) -> None:
        producer = ReliableProducer(self._source)
        try:
            while not self._enough.is_set():
                due_s = time.monotonic() + self._pause_s
                producer.wait(producer.send(self._source.topic, self._make(f"{self.prefix}-{self._sent}")))
                self._sent += 1
                self._enough.wait(max(0.0, due_s - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._failure = error
        finally:
            producer.close()
