"""The group's judge budget."""

from monitor.ledger import Ledger


def test_the_first_factor_of_a_minute_stands_for_every_replica(ledger: Ledger, other: Ledger) -> None:
    """Whoever asks first proposes; everyone after reads that, bit for bit, and is not asked to propose."""
    first = 0.1 + 0.2
    assert ledger.budget.factor("safety", 7, lambda: first) == first
    for replica in (ledger, other):
        assert replica.budget.factor("safety", 7, lambda: 1 / 0) == first
    assert other.budget.factor("safety", 8, lambda: 0.5) == 0.5
    assert other.budget.factor("greets", 7, lambda: 0.25) == 0.25


def test_demand_adds_up_by_minute_and_scorer(ledger: Ledger, other: Ledger) -> None:
    """Replicas add to the same counters."""
    ledger.budget.add_demand(7, {"safety": 2, "greets": 1})
    other.budget.add_demand(7, {"safety": 3})
    other.budget.add_demand(8, {"safety": 0})
    assert ledger.budget.demand([6, 7, 8]) == {7: {"greets": 1, "safety": 5}}
    assert ledger.budget.demand([]) == {}


def test_no_hour_holds_more_calls_than_allowed(ledger: Ledger, other: Ledger) -> None:
    """Grants end at the budget, whoever asks, and come back when the minute they fell in is over an hour away."""
    assert ledger.budget.reserve_calls(3, 100, per_hour=5) == 3
    assert other.budget.reserve_calls(3, 130, per_hour=5) == 2
    assert ledger.budget.reserve_calls(1, 160, per_hour=5) == 0
    assert ledger.budget.calls_in_last_hour(160) == 5
    assert ledger.budget.reserve_calls(9, 161, per_hour=5) == 3
    assert ledger.budget.reserve_calls(1, 161, per_hour=2) == 0
    assert ledger.budget.reserve_calls(0, 500, per_hour=5) == 0


def test_a_clock_that_lags_grants_no_more(ledger: Ledger, other: Ledger) -> None:
    """Calls of a replica whose clock is ahead count for one whose clock is behind."""
    assert ledger.budget.reserve_calls(5, 105, per_hour=5) == 5
    assert other.budget.reserve_calls(1, 100, per_hour=5) == 0


def test_a_clock_that_was_far_ahead_once_takes_no_calls_from_the_hour_of_now(ledger: Ledger) -> None:
    """It was set right: what it was granted is of a day that has not come."""
    assert ledger.budget.reserve_calls(5, 100 + 24 * 60, per_hour=5) == 5
    assert ledger.budget.reserve_calls(5, 100, per_hour=5) == 5
    assert ledger.budget.calls_in_last_hour(100) == 5


def test_old_minutes_can_be_forgotten(ledger: Ledger) -> None:
    """What no redelivery reaches any more is deleted, and nothing else."""
    for minute in (1, 2):
        ledger.budget.factor("safety", minute, lambda: 0.5)
        ledger.budget.add_demand(minute, {"safety": 1})
    ledger.budget.forget(before_minute=2)
    assert ledger.budget.demand([1, 2]) == {2: {"safety": 1}}
    assert ledger.budget.factor("safety", 1, lambda: 0.75) == 0.75
    assert ledger.budget.factor("safety", 2, lambda: 0.75) == 0.5


def test_asking_for_a_known_factor_proposes_none(ledger: Ledger) -> None:
    """A question must not fix what the next event would decide."""
    assert ledger.budget.known_factor("safety", 7) is None
    assert ledger.budget.factor("safety", 7, lambda: 0.25) == 0.25
    assert ledger.budget.known_factor("safety", 7) == 0.25
    assert ledger.budget.known_factor("safety", 8) is None
