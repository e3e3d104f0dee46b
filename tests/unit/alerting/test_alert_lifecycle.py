"""The life of an alert: pending, firing, resolved."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.alert import Alert, Finding, alert_id, next_alert

HOLD_MS = 300
BAD = Finding(
    kind="production_regression",
    scorer="safety",
    segment="all",
    severity="page",
    bad=True,
    details={"pass_rate": 0.5},
    hold_ms=HOLD_MS,
)
GOOD = replace(BAD, bad=False, details={"pass_rate": 0.99})
UNKNOWN = replace(BAD, bad=None, details={})


def looked(*looks: tuple[Finding, int]) -> Alert | None:
    """The alert after a sequence of looks; what is resolved is no longer the open alert."""
    alert: Alert | None = None
    for finding, now_ms in looks:
        current = None if alert is not None and alert.state == "resolved" else alert
        alert = next_alert(current, finding, now_ms=now_ms)
    return alert


def test_what_is_good_or_unknown_opens_nothing() -> None:
    """No alert is made of silence or of health."""
    assert looked((GOOD, 0)) is None
    assert looked((UNKNOWN, 0)) is None


def test_a_bad_finding_is_pending_first_and_fires_when_it_has_lasted() -> None:
    """The alert fires at the first look at or after the hold, not before."""
    pending = looked((BAD, 1000), (BAD, 1299))
    assert pending is not None
    assert (pending.state, pending.since_ms, pending.fired_ms) == ("pending", 1000, None)
    firing = looked((BAD, 1000), (BAD, 1299), (BAD, 1300))
    assert firing is not None
    assert (firing.state, firing.since_ms, firing.fired_ms, firing.id) == ("firing", 1000, 1300, pending.id)


def test_without_a_hold_the_first_bad_look_fires() -> None:
    """A candidate's regression is decided once and needs no waiting."""
    alert = next_alert(None, replace(BAD, hold_ms=0), now_ms=7)
    assert alert is not None
    assert (alert.state, alert.since_ms, alert.fired_ms) == ("firing", 7, 7)


def test_firing_is_dated_once() -> None:
    """Further bad looks refresh the details and leave the times."""
    worse = replace(BAD, severity="ticket", details={"pass_rate": 0.1})
    alert = looked((BAD, 0), (BAD, 300), (worse, 900))
    assert alert is not None
    assert (alert.fired_ms, alert.severity, alert.details) == (300, "ticket", {"pass_rate": 0.1})


def test_a_good_finding_resolves_a_firing_alert_and_drops_a_pending_one() -> None:
    """Both end as resolved; only one of them has ever fired."""
    fired, dropped = looked((BAD, 0), (BAD, 300), (GOOD, 400)), looked((BAD, 0), (GOOD, 200))
    assert fired is not None
    assert dropped is not None
    assert (fired.state, fired.resolved_ms, fired.fired_ms) == ("resolved", 400, 300)
    assert (dropped.state, dropped.resolved_ms, dropped.fired_ms) == ("resolved", 200, None)


def test_silence_changes_nothing() -> None:
    """An alert neither begins, fires nor ends while too little is known."""
    assert looked((BAD, 0), (UNKNOWN, 9000)) == looked((BAD, 0))
    assert looked((BAD, 0), (BAD, 300), (UNKNOWN, 9000)) == looked((BAD, 0), (BAD, 300))


def test_a_second_regression_is_another_alert() -> None:
    """After it resolved, the same subject opens an alert with an id of its own."""
    first, second = looked((BAD, 0)), looked((BAD, 0), (GOOD, 10), (BAD, 20))
    assert first is not None
    assert second is not None
    assert (second.state, second.since_ms) == ("pending", 20)
    assert second.id != first.id


def test_the_id_is_stable_and_names_keep_their_borders() -> None:
    """Every replica and every run gives the same id; parts that only join to the same text differ."""
    assert alert_id("k", "s", "all", 5) == alert_id("k", "s", "all", 5) == "5b413f4c31d88650"
    assert alert_id("k", "sa", "ll", 5) != alert_id("k", "s", "all", 5)


@given(st.lists(st.tuples(st.sampled_from([BAD, GOOD, UNKNOWN]), st.integers(0, 500)), max_size=30))
def test_any_sequence_of_looks_keeps_the_times_in_order(steps: list[tuple[Finding, int]]) -> None:
    """Times are ordered: since <= fired <= resolved; firing implies it lasted the hold, and resolved has its time."""
    now_ms, alert = 0, None
    for finding, passed_ms in steps:
        now_ms += passed_ms
        current = None if alert is not None and alert.state == "resolved" else alert
        alert = next_alert(current, finding, now_ms=now_ms)
        if alert is None:
            continue
        assert (alert.resolved_ms is not None) == (alert.state == "resolved")
        assert alert.fired_ms is None or alert.fired_ms - alert.since_ms >= HOLD_MS
        assert alert.state != "firing" or alert.fired_ms is not None
        assert alert.resolved_ms is None or alert.resolved_ms >= (alert.fired_ms or alert.since_ms)
