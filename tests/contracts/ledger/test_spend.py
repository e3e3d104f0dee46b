"""The day's spend: one sum for all replicas, never over its limit."""

from concurrent.futures import ThreadPoolExecutor

from monitor.ledger.rows import SpendRow


def _row(calls=1, microdollars=0, purpose="scoring", day=7):
    return SpendRow(day=day, purpose=purpose, calls=calls, microdollars=microdollars)


def test_reservations_add_up_to_the_limit_and_not_beyond(ledger):
    """In calls, in money, and for the purposes that share a pot alone."""
    spend, pot = ledger.spend, ("scoring", "canary")
    assert spend.reserve(_row(3), pot, calls=5, microdollars=None)
    assert not spend.reserve(_row(3), pot, calls=5, microdollars=None)
    assert spend.reserve(_row(2, purpose="canary"), pot, calls=5, microdollars=None)
    assert not spend.reserve(_row(1), pot, calls=5, microdollars=None)
    assert spend.reserve(_row(4, purpose="evaluation"), ("evaluation",), calls=5, microdollars=None)
    assert spend.reserve(_row(5, day=8), pot, calls=5, microdollars=None)
    assert spend.reserve(_row(0, 70, day=9), pot, calls=None, microdollars=100)
    assert not spend.reserve(_row(0, 31, day=9), pot, calls=None, microdollars=100)


def test_settling_gives_back_what_was_not_used(ledger):
    """A reservation of four calls that came to one leaves room for three."""
    spend, pot = ledger.spend, ("scoring",)
    assert spend.reserve(_row(4, 400), pot, calls=4, microdollars=None)
    spend.add(_row(-3, -300))
    assert spend.of_day(7) == [_row(1, 100)]
    assert spend.reserve(_row(3), pot, calls=4, microdollars=None)
    spend.forget(8)
    assert spend.of_day(7) == []


def test_replicas_that_reserve_at_once_never_exceed_the_limit(ledger, other):
    """Two replicas, eight threads, a hundred tries for forty calls: exactly forty are granted."""

    def take(number):
        return (ledger, other)[number % 2].spend.reserve(_row(), ("scoring",), calls=40, microdollars=None)

    with ThreadPoolExecutor(8) as pool:
        granted = sum(pool.map(take, range(100)))
    assert granted == 40
    assert ledger.spend.of_day(7) == [_row(40)]
