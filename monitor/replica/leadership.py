"""Which replica does what only one may do: it holds the lease, and shows its token with each thing it publishes."""

import threading
from datetime import timedelta

from structlog.typing import FilteringBoundLogger

from monitor.clock import Clock
from monitor.errors import ServiceUnavailable
from monitor.ledger.lease import Leases
from monitor.ledger.rows import LeaseStanding, LeaseToken

LEASE_NAME = "leader"
RENEWALS_A_LIFE = 4
"""How often the lease is prolonged within its time to live."""


class Leadership:
    """Keeps trying for the lease; `token` is its proof while it is held. Threads may share it."""

    def __init__(self, leases: Leases, holder: str, ttl: timedelta, clock: Clock, log: FilteringBoundLogger) -> None:
        self._ttl = ttl
        self._leases = leases
        self._holder = holder
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._token: LeaseToken | None = None
        self._seen: tuple[LeaseStanding, float] | None = None

    @property
    def token(self) -> LeaseToken | None:
        """The lease as last seen; the ledger checks it again in each transaction that publishes."""
        return self._token

    def seek(self) -> LeaseToken | None:
        """Take or prolong the lease if that is possible now."""
        with self._lock:
            held = self._token
            try:
                self._token = self._acquire()
            except ServiceUnavailable:
                self._token = None
            if (held is None) != (self._token is None):
                self._log.info("lease held" if self._token else "lease not held", holder=self._holder)
            return self._token

    def _acquire(self) -> LeaseToken | None:
        ttl_s, now_ms = self._ttl.total_seconds(), self._clock.now_ms()
        token = self._leases.acquire(LEASE_NAME, self._holder, ttl_s, now_ms)
        standing = None if token is not None else self._leases.standing(LEASE_NAME)
        if standing is None:
            self._seen = None
            return token
        # A holder whose clock was ahead has left a lease that runs out late: what counts then is that it stands still.
        now_s = self._clock.monotonic_s()
        if self._seen is None or self._seen[0] != standing:
            self._seen = (standing, now_s)
        if now_s - self._seen[1] <= ttl_s:
            return None
        return self._leases.seize(LEASE_NAME, self._holder, ttl_s, now_ms, standing)

    def resign(self) -> None:
        """Give the lease up, so that another replica need not wait for its end."""
        with self._lock:
            if self._token is None:
                return
            try:
                self._leases.release(self._token)
            except ServiceUnavailable as error:
                self._log.warning("lease not released; it runs out", cause=str(error))
            self._token = None
