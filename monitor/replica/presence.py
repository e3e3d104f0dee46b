"""A replica's signs of life in the ledger, and the end of a replica that a migration has left behind."""

import threading

from structlog.typing import FilteringBoundLogger

from monitor.clock import Clock
from monitor.errors import ServiceUnavailable
from monitor.ledger.errors import LedgerTooNew
from monitor.ledger.replicas import Replicas
from monitor.versions import __version__


class Presence:
    """Says that this replica runs. `refusal` is why it may not go on, once the ledger has said so."""

    def __init__(
        self, replicas: Replicas, holder: str, clock: Clock, stop: threading.Event, log: FilteringBoundLogger
    ) -> None:
        self._replicas = replicas
        self._holder = holder
        self._clock = clock
        self._stop = stop
        self._log = log
        self.refusal: LedgerTooNew | None = None

    def begin(self) -> None:
        """Give the first sign.

        Raises:
            LedgerTooNew: the schema was brought further than this code can work with.
            LedgerUnavailable: the ledger does not answer.
        """
        self._replicas.beat(self._holder, __version__, self._clock.now_ms())

    def beat(self) -> None:
        """Give a sign if the ledger answers; the daemon is told to stop if it may not go on."""
        try:
            self.begin()
        except LedgerTooNew as refusal:
            self._log.error("this version can no longer work with the ledger", cause=str(refusal))
            self.refusal = refusal
            self._stop.set()
        except ServiceUnavailable as error:
            self._log.debug("no sign of life given", cause=str(error))

    def end(self) -> None:
        """Say that the replica ends."""
        try:
            self._replicas.leave(self._holder)
        except ServiceUnavailable as error:
            self._log.warning("the replica is still listed; its entry grows old", cause=str(error))
