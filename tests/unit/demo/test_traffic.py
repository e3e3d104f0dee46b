"""The demo's traffic: who answers when, how much is due, and how a rate is written."""

from datetime import timedelta

import pytest

from monitor.demo.traffic import NoTraffic, Pace, TrafficPlan, parse_rate


def test_the_bad_version_takes_over_at_its_time_and_stays():
    """Before it the chosen version answers; without a time it answers for ever."""
    plan = TrafficPlan(version="v2", bad_after=timedelta(minutes=10))
    assert [plan.version_at(seconds) for seconds in (0, 599.9, 600, 1e6)] == ["v2", "v2", "v1.1", "v1.1"]
    assert TrafficPlan(version="v1").version_at(1e9) == "v1"


@pytest.mark.parametrize(("per_s", "looks"), [(2.0, 60), (0.25, 30), (7.5, 20)])
def test_as_many_are_due_as_the_rate_says(per_s, looks):
    """Over many looks at regular times the sum is the rate times the time, whatever fraction the rate has."""
    pace = Pace(per_s)
    due = [pace.due(look * pace.step_s) for look in range(1, looks + 1)]
    assert sum(due) == int(per_s * looks * pace.step_s)
    assert max(due) - min(due) <= 1


def test_what_was_missed_is_not_made_up_for():
    """After an hour without a look there is no flood, and the rate goes on as before."""
    pace = Pace(2.0)
    assert pace.due(3600.0) <= 4
    assert pace.due(3601.0) == 2


@pytest.mark.parametrize(("text", "per_s"), [("2/s", 2.0), ("30/m", 0.5), ("1.5", 1.5), ("36/h", 0.01)])
def test_a_rate_is_a_number_and_a_unit(text, per_s):
    """Requests a second come out."""
    assert parse_rate(text) == pytest.approx(per_s)


@pytest.mark.parametrize("text", ["", "fast", "2/d", "-1/s", "2 / s"])
def test_what_is_no_rate_is_refused_with_what_is_allowed(text):
    """The error shows the forms."""
    with pytest.raises(NoTraffic, match="allowed: a number and a unit"):
        parse_rate(text)


def test_traffic_that_cannot_be_is_refused():
    """An unknown version and a rate of nothing are errors before anything starts."""
    with pytest.raises(NoTraffic, match=r"no version 'v3'; allowed: v1, v1\.1, v2"):
        TrafficPlan(version="v3")
    with pytest.raises(NoTraffic, match="above 0"):
        TrafficPlan(per_s=0.0)
