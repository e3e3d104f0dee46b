"""The circuit breaker and the adaptive limit: pure state, held against what they promise in every history."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from scorers.circuit import Circuit
from scorers.concurrency import AdaptiveLimit
from scorers.settings import CircuitSettings

SETTINGS = CircuitSettings(failures=3, first_pause=timedelta(seconds=1), longest_pause=timedelta(seconds=8))
STEPS = st.lists(st.tuples(st.sampled_from(["ask", "answered", "failed"]), st.floats(0, 5)), max_size=60)


def _circuit(jitter: float = 1.0) -> Circuit:
    return Circuit(SETTINGS, lambda: jitter)


def test_outages_in_a_row_open_it_and_an_answer_between_them_does_not():
    """Three in a row; two, an answer and two more leave it closed."""
    circuit = _circuit()
    for _ in range(2):
        circuit.failed(0.0)
    circuit.answered()
    for _ in range(2):
        circuit.failed(0.0)
    assert circuit.state == "closed"
    circuit.failed(0.0)
    assert circuit.state == "open"
    assert circuit.ask(0.5) == 0.5


def test_after_the_pause_exactly_one_probe_passes_and_its_answer_closes_it():
    """The second caller waits while the first one probes."""
    circuit = _circuit()
    for _ in range(3):
        circuit.failed(0.0)
    assert circuit.ask(1.0) is None
    assert circuit.state == "half_open"
    assert circuit.ask(1.0) is not None
    circuit.answered()
    assert circuit.state == "closed"
    assert circuit.ask(1.0) is None


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest():
    """1, 2, 4, 8, 8 seconds; calls from before it opened change nothing."""
    circuit = _circuit()
    for _ in range(3):
        circuit.failed(0.0)
    now, pauses = 0.0, []
    for _ in range(5):
        wait = circuit.ask(now)
        assert wait is not None
        pauses.append(wait)
        circuit.failed(now)
        now += wait
        assert circuit.ask(now) is None
        circuit.failed(now)
    assert pauses == [1, 2, 4, 8, 8]
    assert circuit.open_for_s(now) == now


def test_an_endpoint_that_asks_to_be_left_alone_is():
    """Its own Retry-After is longer than the pause would be."""
    circuit = _circuit()
    for _ in range(3):
        circuit.failed(0.0, retry_after_s=20.0)
    assert circuit.ask(19.0) == 1.0


@given(steps=STEPS, jitter=st.floats(0, 1))
def test_in_every_history_at_most_one_probe_is_out_and_no_call_waits_for_ever(steps, jitter):
    """Whatever is answered or fails, whenever: a caller is told to go, or to wait for a bounded time."""
    circuit, now, probes = _circuit(jitter), 0.0, 0
    for step, passed in steps:
        now += passed
        if step == "ask":
            was_open = circuit.state != "closed"
            wait = circuit.ask(now)
            probes += was_open and wait is None
            assert wait is None or 0 < wait <= 8
        elif step == "answered":
            circuit.answered()
            assert circuit.state == "closed"
            probes = 0
        else:
            circuit.failed(now)
            probes = 0 if circuit.state == "open" else probes
        assert probes <= 1


def test_the_limit_halves_once_a_round_trip_and_grows_by_one_a_window():
    """A burst of refusals of calls that began before the first of them is one piece of news."""
    limit = AdaptiveLimit(16)
    for _ in range(5):
        limit.overloaded(started_s=0.0, now_s=1.0)
    assert limit.allowed == 8
    limit.overloaded(started_s=1.5, now_s=2.0)
    assert limit.allowed == 4
    for _ in range(4):
        limit.succeeded()
    assert limit.allowed == 5
    for _ in range(4):
        limit.succeeded()
    assert limit.allowed == 5
    limit.succeeded()
    assert limit.allowed == 6


@given(events=st.lists(st.booleans(), max_size=200))
def test_the_limit_stays_between_one_and_the_most(events):
    """In every history."""
    limit = AdaptiveLimit(7)
    for number, good in enumerate(events):
        if good:
            limit.succeeded()
        else:
            limit.overloaded(float(number), float(number))
        assert 1 <= limit.allowed <= 7


def test_the_limit_settles_near_the_capacity():
    """Rounds of calls against an endpoint that takes six at once: after a while it allows 3 to 7, never all 32."""
    limit, seen = AdaptiveLimit(32), []
    for turn in range(400):
        allowed = limit.allowed
        for call in range(allowed):
            if call < 6:
                limit.succeeded()
            else:
                limit.overloaded(float(turn), turn + 0.5)
        seen.append(allowed)
    assert set(seen[50:]) <= {3, 4, 5, 6, 7}
    assert sum(seen[50:]) / len(seen[50:]) > 4
