"""The demo's application in production: it answers request after request, and its traces go to the stream."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from threading import Event
from typing import Any, Final

from consumers.errors import SourceUnavailable
from consumers.kafka_publish import BatchPublisher, Outgoing
from consumers.settings import SourceSettings
from monitor.clock import Clock
from monitor.demo.production_requests import varied
from monitor.demo.sales_email import generate_sales_email_v1, generate_sales_email_v1_1, generate_sales_email_v2
from monitor.errors import MonitorError
from monitor.evaluation.mlflow_capture import TraceCapture

BAD_VERSION: Final = "v1.1"
VERSIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "v1": generate_sales_email_v1,
    BAD_VERSION: generate_sales_email_v1_1,
    "v2": generate_sales_email_v2,
}

_HEADERS = (("content-type", b"mlflow+json"),)
_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/([smh]))?")
_UNITS_S = {None: 1, "s": 1, "m": 60, "h": 3600}
_STEP_S = 1.0


class NoTraffic(MonitorError):
    """Traffic that cannot be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrafficPlan:
    """What is asked of which version, and how often.

    `per_s` is in requests a second. From `bad_after` on, counted from the first answer, the bad version answers.

    Raises:
        NoTraffic: there is no such version, or nothing is ever asked.
    """

    per_s: float = 1.0
    version: str = "v1"
    bad_after: timedelta | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.version not in VERSIONS:
            raise NoTraffic(f"there is no version {self.version!r}; allowed: {', '.join(VERSIONS)}")
        if self.per_s <= 0:
            raise NoTraffic("the rate is above 0")

    def version_at(self, elapsed_s: float) -> str:
        """Who answers then."""
        bad = self.bad_after is not None and elapsed_s >= self.bad_after.total_seconds()
        return BAD_VERSION if bad else self.version


class Pace:
    """How many requests are due at each look; what could not be asked in time is not made up for."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._due = 0

    @property
    def step_s(self) -> float:
        """The time between two looks, in seconds."""
        return max(_STEP_S, 1 / self._per_s)

    def due(self, elapsed_s: float) -> int:
        """How many to ask now."""
        due = int(elapsed_s * self._per_s)
        new, self._due = due - self._due, due
        return min(new, math.ceil(2 * self._per_s * self.step_s))


def parse_rate(text: str) -> float:
    """Requests a second out of `2`, `2/s`, `30/m` or `100/h`.

    Raises:
        NoTraffic: the text is none of these.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise NoTraffic(f"{text!r} is no rate; allowed: a number and a unit, such as 2/s, 30/m or 100/h")
    return float(match[1]) / _UNITS_S[match[2]]


def send_traffic(
    source: SourceSettings, plan: TrafficPlan, stop: Event, clock: Clock, say: Callable[[str], None]
) -> int:
    """Ask and publish until `stop`; the number of traces published. A stream that is away is told and waited for.

    Requests are answered one after the other: a model that takes longer than the rate allows sets the rate.

    Raises:
        MessageRefused: a trace is larger than the topic takes.
    """
    with BatchPublisher(source) as publisher:
        return _Traffic(publisher, plan, stop, say).run(clock)


class _Traffic:
    def __init__(self, publisher: BatchPublisher, plan: TrafficPlan, stop: Event, say: Callable[[str], None]) -> None:
        self._publisher = publisher
        self._plan = plan
        self._stop = stop
        self._say = say
        self._capture = TraceCapture()
        self._requests = varied(plan.seed)
        self._version = ""

    def run(self, clock: Clock) -> int:
        pace = Pace(self._plan.per_s)
        # The first answer waits for imports: the clock starts when it is there.
        sent = self._ask(self._plan.version, 1)
        started_s = clock.monotonic_s()
        while not self._stop.wait(pace.step_s):
            elapsed_s = clock.monotonic_s() - started_s
            sent += self._ask(self._plan.version_at(elapsed_s), pace.due(elapsed_s))
        return sent

    def _ask(self, version: str, requests: int) -> int:
        asked = islice(self._requests, requests)
        traces = [self._answer(version, request.inputs) for request in asked if not self._stop.is_set()]
        try:
            self._publisher.publish([Outgoing(value=trace, headers=_HEADERS) for trace in traces])
        except SourceUnavailable as error:
            self._say(f"{len(traces)} traces are lost: {error}")
            return 0
        return len(traces)

    def _answer(self, version: str, inputs: dict[str, str]) -> bytes:
        # A request that fails is a trace, too: with the status ERROR.
        _, trace_json, _ = self._capture.call(VERSIONS[version], inputs)
        if version != self._version:
            self._version = version
            self._say(f"{version} answers now")
        return trace_json.encode()
