"""Waiting for a service that is away, for as long as it takes, and saying so."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from structlog.typing import FilteringBoundLogger
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set, wait_random_exponential
from tenacity.nap import sleep_using_event

from consumers.errors import SourceUnavailable
from monitor.errors import ServiceUnavailable
from monitor.health import Health
from scorers.errors import JudgeUnavailable

T = TypeVar("T")
AWAY = (ServiceUnavailable, JudgeUnavailable, SourceUnavailable)
"""What says that a service did not answer, so that trying again is right."""


class Patience:
    """Tries until the service answers or the daemon stops, with exponential backoff and full jitter."""

    def __init__(self, *, health: Health, stop: threading.Event, log: FilteringBoundLogger, longest: timedelta) -> None:
        self._health = health
        self._stop = stop
        self._log = log
        self._longest_s = longest.total_seconds()

    def call(
        self,
        dependency: str,
        work: Callable[[], T],
        *,
        until: Callable[[BaseException | None], bool] = lambda _error: False,
    ) -> T:
        """The result of `work`, however often its service fails to answer.

        `until` is told each failure and ends the patience early: the failure at which it is true is raised. A service
        that asks to be left alone for a while (`retry_after_s` of its error) is.

        Raises:
            ServiceUnavailable | JudgeUnavailable | SourceUnavailable: the daemon stops, or `until` said so.
        """

        def note_failure(state: RetryCallState) -> None:
            self.note_down(dependency, _error_of(state))

        retrying = Retrying(
            retry=retry_if_exception_type(AWAY),
            wait=_at_least_what_is_asked(wait_random_exponential(multiplier=0.5, max=self._longest_s)),
            stop=lambda state: stop_when_event_set(self._stop)(state) or until(_error_of(state)),
            sleep=sleep_using_event(self._stop),
            before_sleep=note_failure,
            reraise=True,
        )
        result = retrying(work)
        self.note_up(dependency)
        return result

    def note_down(self, dependency: str, error: BaseException | None) -> None:
        """Remember and log that a service is away; a cause that is known already is not logged again."""
        if self._health.down(dependency, str(error)):
            self._log.warning("waiting for a service", dependency=dependency, cause=str(error))

    def note_up(self, dependency: str) -> None:
        """Remember and log that a service is back."""
        if self._health.up(dependency):
            self._log.info("service answers", dependency=dependency)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _at_least_what_is_asked(jittered: wait_random_exponential) -> Callable[[RetryCallState], float]:
    def wait_s(state: RetryCallState) -> float:
        asked_s: float = getattr(_error_of(state), "retry_after_s", None) or 0.0
        return max(asked_s, jittered(state))

    return wait_s
