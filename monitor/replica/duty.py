"""A duty of the lease holder: a job by the clock, done by one replica, whose success and failure the ledger keeps."""

from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from monitor.clock import Clock
from monitor.errors import MonitorError
from monitor.ledger.errors import LeaseLost
from monitor.ledger.jobs import Jobs
from monitor.ledger.rows import LeaseToken
from monitor.replica.leadership import Leadership


@dataclass(frozen=True, kw_only=True, slots=True)
class Duty:
    """A job that only the lease holder does, and that notes in the ledger how it went, in words without secrets."""

    name: str
    work: Callable[[LeaseToken], object]
    leadership: Leadership
    jobs: Jobs
    clock: Clock
    log: FilteringBoundLogger
    mask: Callable[[str], str] = str

    def __call__(self) -> None:
        """Do the work if this replica holds the lease."""
        token = self.leadership.token
        if token is None:
            return
        try:
            self.work(token)
        except LeaseLost as lost:
            self.log.warning("lease lost", job=self.name, cause=str(lost))
        except MonitorError as error:
            self.log.warning("job failed", job=self.name, cause=str(error))
            words = self.mask(str(error))
            self._note(lambda: self.jobs.failed(self.name, self.clock.now_ms(), words, token))
        else:
            self._note(lambda: self.jobs.succeeded(self.name, self.clock.now_ms(), token))

    def _note(self, write: Callable[[], None]) -> None:
        try:
            write()
        except LeaseLost as lost:
            self.log.warning("lease lost", job=self.name, cause=str(lost))
        except MonitorError as error:
            self.log.warning("how a job went is not noted", job=self.name, cause=str(error))
