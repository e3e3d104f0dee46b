"""The lease among replicas whose clocks jump, against a model that knows only who was granted it last."""

from datetime import timedelta

import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from monitor.clock import ManualClock
from monitor.ledger import LeaseLost, LeaseToken, open_ledger
from monitor.replica.leadership import Leadership

TTL = timedelta(seconds=30)
DAY_MS = 86_400_000

replicas = st.integers(0, 2)


class Replicas(RuleBasedStateMachine):
    """Three replicas that seek the lease, resign, freeze and publish; an operator sets their clocks.

    A replica that is not told to seek is frozen: it goes on believing in the token that it saw last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ledger = open_ledger("sqlite://")
        self.clocks = [ManualClock(DAY_MS) for _ in range(3)]
        self.leaders = [
            Leadership(self.ledger.lease, f"replica-{number}", TTL, clock, structlog.get_logger())
            for number, clock in enumerate(self.clocks)
        ]
        self.granted: LeaseToken | None = None
        self.highest = 0

    def teardown(self) -> None:
        """Close the database."""
        self.ledger.close()

    @rule(number=replicas)
    def seek(self, number: int) -> None:
        """A replica prolongs the lease, takes it, or finds it taken."""
        token = self.leaders[number].seek()
        if token is None or token == self.granted:
            return
        assert token.token > self.highest
        self.granted, self.highest = token, token.token

    @rule(number=replicas)
    def resign(self, number: int) -> None:
        """A replica stops; one that only believed that it held the lease takes it from nobody."""
        if self.leaders[number].token == self.granted:
            self.granted = None
        self.leaders[number].resign()

    @rule(number=replicas, to_ms=st.integers(0, 3 * DAY_MS))
    def set_clock(self, number: int, to_ms: int) -> None:
        """A replica's clock jumps, forwards or back."""
        self.clocks[number].set(to_ms)

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        """For everybody."""
        for clock in self.clocks:
            clock.advance(timedelta(seconds=seconds))

    @rule(number=replicas)
    def the_others_die(self, number: int) -> None:
        """Within a time to live of its first look a replica that is left alone holds the lease, whatever clocks say."""
        self.seek(number)
        self.time_passes(31)
        self.seek(number)
        assert self.leaders[number].token is not None

    @invariant()
    def only_the_last_one_granted_publishes(self) -> None:
        """Of all replicas that believe in a token, none but the holder of the newest gets anything written."""
        for leader in self.leaders:
            if leader.token is None:
                continue
            try:
                self.ledger.jobs.succeeded("publish", 1, leader.token)
            except LeaseLost:
                assert leader.token != self.granted
            else:
                assert leader.token == self.granted


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
