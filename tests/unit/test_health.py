"""Health: ready is what every dependency says, and each change is news once."""

from monitor.health import Dependency, Health, ready


def test_a_process_is_not_ready_before_it_has_reached_everything_once() -> None:
    """Nothing is assumed to be there: the cause says that it was not tried."""
    health = Health(("kafka", "ledger"))
    assert not ready(health.states())
    assert health.states()["kafka"] == Dependency(up=False, cause="not reached yet", tried=False)
    health.up("kafka")
    assert not ready(health.states())
    health.up("ledger")
    assert ready(health.states())


def test_one_dependency_that_goes_makes_it_not_ready_and_says_why() -> None:
    """The cause in words stays with the state until the dependency answers."""
    health = Health(("kafka", "ledger"))
    health.up("kafka")
    health.up("ledger")
    health.down("kafka", "connection refused")
    assert not ready(health.states())
    assert health.states() == {"kafka": Dependency(up=False, cause="connection refused"), "ledger": Dependency(up=True)}
    health.up("kafka")
    assert ready(health.states())


def test_news_is_told_once() -> None:
    """The caller logs a change of state or of cause, and not each probe."""
    health = Health(("judge",))
    assert health.up("judge")
    assert not health.up("judge")
    assert health.down("judge", "429")
    assert not health.down("judge", "429")
    assert health.down("judge", "timeout")


def test_states_are_a_copy() -> None:
    """A reader holds what was true when it asked."""
    health = Health(("judge",))
    before = health.states()
    health.up("judge")
    assert not before["judge"].up
