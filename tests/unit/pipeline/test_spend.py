"""The day's spend in the pipeline: what has no room is parked, nothing is asked beyond it, and nothing is lost."""

from dataclasses import replace
from datetime import timedelta

import pytest
import requests

from monitor.alerting.look import Alerting
from monitor.alerting.spend import SpendFindings, spend_findings
from monitor.clock import ManualClock
from monitor.ledger.ledger import open_ledger
from monitor.ledger.rows import SpendRow
from monitor.metrics import GroupMetrics
from monitor.pipeline.owed import work_off_parked
from monitor.settings import PriceSettings, SpendSettings
from monitor.spend.debt import debt_of
from monitor.spend.spending import DAY_MS, SpendExhausted, Spending, Usage
from scorers.errors import JudgeUnavailable
from scorers.suite import ScorerSuite
from tests.figure_readers import figure_reader

PRICES = {"small": PriceSettings(input=1.0, output=10.0)}


@pytest.fixture
def ledger(tmp_path):
    opened = open_ledger(f"sqlite:///{tmp_path / 'spend.db'}")
    yield opened
    opened.close()


def _spending(ledger, per_day, *, share=0.25, attempts=1, evaluates=False, clock=None):
    settings = SpendSettings(per_day=per_day, evaluation_share=share, prices=PRICES)
    clock = clock or ManualClock(5 * DAY_MS)
    return Spending(ledger.spend, settings, {"safety": "small"}, clock, attempts=attempts, evaluates=evaluates)


def test_what_the_day_has_no_room_for_is_parked_and_judged_the_next_day(stage):
    """Two calls a day: two of five traces are scored, two more tomorrow; nothing is asked twice."""
    stage.spend = SpendSettings(per_day="2 calls")
    for number in range(5):
        stage.event(f"event {number}", partition=0)
    _count_calls(stage)
    stage.run()
    assert stage.counts() == {("safe", "scored"): 2, ("safe", "parked"): 3, ("short", "scored"): 5}
    effects = stage.effects(stage.open())
    assert work_off_parked(effects, workers=3) == 0
    stage.clock.advance(timedelta(days=1))
    assert work_off_parked(effects, workers=3) == 2
    assert stage.counts() == {("safe", "scored"): 4, ("safe", "parked"): 1, ("short", "scored"): 5}
    judged = [call for call in stage.judged if call.startswith("safe")]
    assert len(judged) == len(set(judged)) == 4


def _count_calls(stage):
    """Let each call of a judge count as one, as over HTTP."""

    class Counting(ScorerSuite):
        def score(self, scorer, trace):
            outcome = super().score(scorer, trace)
            return replace(outcome, calls=1) if outcome.scorer == "safe" else outcome

    made = stage.suite
    stage.suite = lambda: Counting(list(made()))


def test_code_that_asks_a_judge_is_paid_for_and_bounded_like_a_judge(stage):
    """Its first call finds it out: two calls a day, two of five traces, the rest tomorrow."""
    stage.spend = SpendSettings(per_day="2 calls")
    stage.pipeline = stage.pipeline.model_copy(update={"workers": 1})
    stage.scorers.clear()
    stage.scorer("safe", kind="code")
    for number in range(5):
        stage.event(f"event {number}", partition=0)
    _count_calls(stage)
    stage.run()
    assert stage.counts() == {("safe", "scored"): 2, ("safe", "parked"): 3}
    assert _scoring(stage).calls == 2
    stage.clock.advance(timedelta(days=1))
    assert work_off_parked(stage.effects(stage.open()), workers=1) == 2


def test_code_whose_judge_is_too_late_pays_for_that(stage):
    """The call that found it out, and those that follow."""
    prices = {"scripted": PriceSettings(input=20.0, output=0.0)}
    stage.spend = SpendSettings(per_day="$10", prices=prices)
    stage.scorers.clear()
    tries = []

    def answer(_inputs):
        tries.append(1)
        return True

    stage.scorer("safe", kind="code", answer=answer)
    made = stage.suite

    class Late(ScorerSuite):
        def score(self, scorer, trace):
            outcome = super().score(scorer, trace)
            if len(tries) < 3:
                raise JudgeUnavailable("no answer within 60 s", timed_out=True, calls=1, unmetered=1)
            return replace(outcome, calls=1, input_tokens=0, output_tokens=0)

    stage.suite = lambda: Late(list(made()))
    stage.event("one")
    stage.run()
    assert stage.counts() == {("safe", "scored"): 1}
    assert (_scoring(stage).calls, _scoring(stage).microdollars) == (3, 640_000)


def test_code_that_does_not_ask_this_time_says_nothing_of_the_judge(stage):
    """It asks for some traces only: what it makes of the others is no answer of a judge that is away."""
    asked = []

    def answer(inputs):
        asked.append(inputs["question"])
        if asked[-1] == "does not ask":
            stage.health.down("judge", "refused")
        return True

    stage.pipeline = stage.pipeline.model_copy(update={"workers": 1})
    stage.scorers.clear()
    stage.scorer("safe", kind="code", answer=answer)
    made = stage.suite

    class Seldom(ScorerSuite):
        def score(self, scorer, trace):
            outcome = super().score(scorer, trace)
            return replace(outcome, calls=int(asked[-1] == "asks"))

    stage.suite = lambda: Seldom(list(made()))
    stage.event("asks", partition=0)
    stage.event("does not ask", partition=0)
    stage.run()
    assert asked == ["asks", "does not ask"]
    assert not stage.health.states()["judge"].up


def _scoring(stage):
    rows = stage.open().spend.of_day(stage.clock.now_ms() // DAY_MS)
    (row,) = (row for row in rows if row.purpose == "scoring")
    return row


def test_a_crash_after_a_reservation_leaves_it_spent(stage):
    """Never over the limit: the call may have been made."""
    stage.spend = SpendSettings(per_day="1 calls")
    stage.scorers.pop("short")
    stage.event("one")
    with pytest.raises(Exception, match="add"):
        stage.run(change=stage.killed_in("spend", "add", before=True))
    stage.run()
    assert stage.counts() == {("safe", "parked"): 1}


def test_a_reservation_covers_the_retries_and_is_settled_by_what_was_sent(ledger):
    """Four attempts at most, two made."""
    spending = _spending(ledger, "10 calls", attempts=4)
    reservation = spending.reserve("safety")
    assert reservation.calls == 4
    spending.settle(reservation, Usage(calls=2))
    assert [pot.spent for pot in spending.pots()] == [2]


def test_money_is_counted_by_the_models_price_and_the_estimate_learns(ledger):
    """The first reservation is pessimistic; the next one follows the dearest call."""
    spending = _spending(ledger, "$1")
    first = spending.reserve("safety")
    dollars = spending.settle(first, Usage(calls=1, input_tokens=1000, output_tokens=100))
    assert dollars == pytest.approx(0.002)
    assert spending.reserve("safety").microdollars == 2000 < first.microdollars
    assert spending.pots()[0].spent == pytest.approx(0.004)


def test_a_call_whose_tokens_nobody_tells_costs_the_estimate(ledger):
    """The first estimate at first, then the dearest call; an estimate teaches nothing, and a refused call is free."""
    spending = _spending(ledger, "$1", attempts=2)
    first = spending.reserve("safety")
    assert spending.settle(first, Usage(calls=1, unmetered=1)) == pytest.approx(0.036)
    assert spending.reserve("safety").microdollars == first.microdollars == 72_000
    assert spending.settle(spending.reserve("safety"), Usage(calls=1)) == 0
    spending.settle(spending.reserve("safety"), Usage(calls=2, asked=2, input_tokens=2000, output_tokens=200))
    late = Usage(calls=2, unmetered=1, input_tokens=1000, output_tokens=100)
    assert spending.settle(spending.reserve("safety"), late) == pytest.approx(0.004)


def test_an_evaluation_whose_endpoint_reports_no_tokens_is_not_for_nothing(ledger):
    """The first estimate for each call, or what the dearest of the model's scorers came to."""
    spending = _spending(ledger, "$10", evaluates=True)
    unknown = {"small": Usage(calls=10, unmetered=10)}
    spending.settle_evaluation(spending.reserve_evaluation(["safety"], 10), unknown)
    assert {pot.name: pot.spent for pot in spending.pots()}["evaluation"] == pytest.approx(0.36)
    spending.settle(spending.reserve("safety"), Usage(calls=1, input_tokens=1000, output_tokens=100))
    spending.settle_evaluation(spending.reserve_evaluation(["safety"], 10), unknown)
    assert {pot.name: pot.spent for pot in spending.pots()}["evaluation"] == pytest.approx(0.38)


def test_an_evaluation_by_code_that_asks_a_model_is_paid_for(ledger):
    """Nothing was set aside, as no scorer is a judge."""
    spending = _spending(ledger, "10 calls", evaluates=True)
    spending.settle_evaluation(spending.reserve_evaluation([], 10), {"small": Usage(calls=2)})
    assert {pot.name: pot.spent for pot in spending.pots()} == {"scoring": 0, "evaluation": 2}


def test_a_judge_that_is_always_too_late_empties_the_pot(stage):
    """Such calls are billed: after three of them the dollar has no room for a fourth, and the verdict is parked."""
    stage.spend = SpendSettings(per_day="$1", prices={"scripted": PriceSettings(input=20.0, output=0.0)})
    tries = []

    def answer(_inputs):
        tries.append(1)
        raise JudgeUnavailable("no answer within 60 s", timed_out=True, calls=1, unmetered=1)

    def canary(_scorer):
        raise Down

    stage.canary = canary
    stage.scorer("safe", answer=answer)
    stage.scorers.pop("short")
    stage.event("one")
    stage.run(lambda: len(tries) > 20 or stage.all_committed())
    assert stage.counts() == {("safe", "parked"): 1}
    assert len(tries) == 3


def test_evaluations_have_a_pot_of_their_own_and_are_all_or_nothing(ledger):
    """A quarter of 100 calls: 20 answers of one scorer fit, 10 more do not, and production is not touched by it."""
    spending = _spending(ledger, "100 calls", evaluates=True)
    reserved = spending.reserve_evaluation(["safety"], 20)
    with pytest.raises(SpendExhausted):
        spending.reserve_evaluation(["safety", "tone"], 5)
    assert {pot.name: pot.spent for pot in spending.pots()} == {"scoring": 0, "evaluation": 20}
    spending.settle_evaluation(reserved, {"small": Usage(calls=18, input_tokens=10, output_tokens=10)})
    assert {pot.name: (pot.spent, pot.limit) for pot in spending.pots()} == {"scoring": (0, 75), "evaluation": (18, 25)}


def test_where_no_versions_are_compared_all_is_one_pot(ledger):
    """The frozen set is judged again out of it, and what that costs is bounded with all else."""
    spending = _spending(ledger, "10 calls")
    spending.settle(spending.reserve("safety", "evaluation"), Usage(calls=4))
    spending.settle(spending.reserve("safety"), Usage(calls=5))
    assert [(pot.name, pot.spent, pot.limit) for pot in spending.pots()] == [("scoring", 9, 10)]
    spending.reserve("safety", "evaluation")
    with pytest.raises(SpendExhausted):
        spending.reserve("safety")


def test_the_estimate_learns_questions_and_not_their_retries(ledger):
    """A score of two questions that took five requests reserves two questions with their retries, not five."""
    spending = _spending(ledger, "1000 calls", attempts=3)
    spending.settle(spending.reserve("safety"), Usage(calls=5, asked=2))
    assert spending.reserve("safety").calls == 6


def test_without_a_limit_everything_is_allowed_and_written_down(ledger):
    """The day's calls are known all the same."""
    spending = _spending(ledger, None)
    spending.settle(spending.reserve("safety"), Usage(calls=1, input_tokens=1000, output_tokens=0))
    assert spending.pots() == []
    assert ledger.spend.of_day(5) == [SpendRow(day=5, purpose="scoring", calls=1, microdollars=1000)]


def test_a_pot_alerts_from_80_percent_and_pages_when_it_is_empty(ledger):
    """79 of 100: nothing; 80: a ticket; 100: a page; the next day it is over."""
    clock = ManualClock(5 * DAY_MS)
    spending = _spending(ledger, "100 calls", clock=clock)

    def finding(calls):
        spending.settle(spending.reserve("canary", "canary"), Usage(calls=calls))
        (found,) = spend_findings(spending.pots())
        return found.bad, found.severity

    assert finding(79) == (False, "ticket")
    assert finding(1) == (True, "ticket")
    assert finding(20) == (True, "page")
    clock.advance(timedelta(days=1))
    assert spend_findings(spending.pots())[0].bad is False


def test_the_alert_fires_and_ends_in_the_alert_table(ledger):
    """Through the same table as all alerts."""
    import structlog

    clock = ManualClock(5 * DAY_MS)
    spending = _spending(ledger, "10 calls", clock=clock)
    alerting = Alerting(ledger.alerts, [SpendFindings(spending.pots)], structlog.get_logger())
    token = ledger.lease.acquire("leader", "me", 1e9, clock.now_ms())
    spending.settle(spending.reserve("safety"), Usage(calls=9))
    alerting.look(token, clock.now_ms())
    (row,) = ledger.alerts.open_alerts()
    assert (row.kind, row.state, row.severity) == ("spend_exhausted", "firing", "ticket")
    clock.advance(timedelta(days=1))
    alerting.look(token, clock.now_ms())
    assert ledger.alerts.open_alerts() == []


def test_the_debt_is_known_with_its_time_and_its_price(stage):
    """Three verdicts owed at two in 15 minutes: 22.5 minutes; unknown is None and never 0."""
    stage.sampling = stage.sampling.model_copy(update={"judge_calls_per_hour": 2, "min_rate": 1.0})
    for number in range(5):
        stage.event(f"event {number}")
    stage.run()
    ledger, now_ms = stage.open(), stage.clock.now_ms()
    debt = _debt(ledger, ["safe"], now_ms)
    assert (debt.verdicts, debt.parked, debt.seconds, debt.dollars) == (3, 3, 3 * 900 / 2, None)
    ledger.spend.add(SpendRow(day=now_ms // DAY_MS, purpose="scoring", calls=4, microdollars=8_000_000))
    assert _debt(ledger, ["safe"], now_ms).dollars == pytest.approx(6.0)
    assert _debt(ledger, ["safe"], now_ms + 3_600_000).seconds is None
    assert _debt(ledger, ["other"], now_ms).verdicts == 0


def test_what_waits_in_the_stream_is_owed_as_well(stage):
    """200,000 events after an outage, where one in ten was judged: 20,000 verdicts, with their time and their price."""
    stage.event("one")
    stage.run()
    ledger, now_ms = stage.open(), stage.clock.now_ms()
    where = {"topic": stage.topic.name, "partition": 0}
    assert ledger.positions.advance(
        *where.values(), 1, 10, {("safe", "sampled_out", "rate"): 9, ("short", "scored", ""): 9}, 9
    )
    ledger.positions.note_lag({tuple(where.values()): 200_000}, now_ms)
    debt = _debt(ledger, ["safe"], now_ms)
    assert (debt.events, debt.parked, debt.verdicts, debt.seconds) == (200_000, 0, 20_000, 20_000 * 900)
    assert (debt.calls, debt.dollars) == (None, None)
    # Two calls for the one verdict of today.
    ledger.spend.add(SpendRow(day=now_ms // DAY_MS, purpose="scoring", calls=2, microdollars=10_000))
    debt = _debt(ledger, ["safe"], now_ms)
    assert (debt.calls, debt.dollars) == (40_000, pytest.approx(200.0))
    assert _debt(ledger, ["safe"], now_ms + 3_600_000).events is None
    assert _debt(ledger, ["new"], now_ms).verdicts == 200_000


def test_the_metrics_of_the_group_tell_the_debt_of_the_stream(stage):
    """The figures that Prometheus's rule on the debt reads."""
    stage.event("one")
    stage.run()
    ledger = stage.open()
    ledger.positions.note_lag({(stage.topic.name, 0): 500}, stage.clock.now_ms())
    reader = figure_reader(ledger, stage.clock.now_ms(), scorers=["safe", "short"])
    found = {each.name: each.samples[0].value for each in GroupMetrics("shop", reader.read, stage.clock).collect()}
    assert (found["tracewatch_debt_events"], found["tracewatch_debt_verdicts"]) == (500, 1000)
    assert found["tracewatch_debt_seconds"] == 500 * 900


def _debt(ledger, scorers, now_ms):
    positions, accounted = ledger.positions.all(), ledger.positions.accounted()
    return debt_of(ledger, scorers, now_ms, positions=positions, accounted=accounted)


def test_parked_work_is_done_by_several_threads_newest_first_if_told(stage):
    """All four judges wait for each other: one thread alone would never end."""
    import threading

    stage.sampling = stage.sampling.model_copy(update={"judge_calls_per_hour": 4, "min_rate": 1.0})
    stage.scorers.pop("short")
    for number in range(8):
        stage.event(f"event {number}", timestamp_ms=stage.clock.now_ms() - 1000 + number)
    stage.run()
    stage.clock.advance(timedelta(minutes=61))
    meeting = threading.Barrier(4, timeout=30)
    owed = []
    stage.scorer("safe", answer=lambda inputs: (owed.append(inputs["question"]), meeting.wait())[1] >= 0)
    assert work_off_parked(stage.effects(stage.open()), workers=4, newest_first=True) == 4
    parked = sorted(owed)
    assert len(parked) == 4
    assert stage.counts()["safe", "scored"] == 8


class Down(JudgeUnavailable):
    """An endpoint that answers nobody."""

    def __init__(self) -> None:
        super().__init__("HTTP 500", status=500)


def test_where_every_worker_holds_a_poisoned_trace_the_canary_tells(stage):
    """Four workers, four traces that the judge fails on, nobody else: error verdicts, as the canary is answered."""
    canaries = []
    stage.canary = canaries.append

    def answer(_inputs):
        raise requests.exceptions.ConnectionError("refused")

    stage.scorer("safe", answer=answer)
    stage.scorers.pop("short")
    for number in range(4):
        stage.event(f"event {number}")
    stage.run()
    assert stage.counts() == {("safe", "scored"): 4}
    assert {row.label for row in stage.open().figures.verdict_counts() if row.segment == "all"} == {"error"}
    assert set(canaries) == {"safe"}
    assert {row.purpose for row in stage.open().spend.of_day(stage.clock.now_ms() // DAY_MS)} == {"canary"}


def test_an_endpoint_that_fails_for_all_gives_no_error_verdicts(stage):
    """The canary fails as well: nothing is given up however often it is tried; when it comes back all are scored."""
    tries = []

    def canary(_scorer):
        raise Down

    def answer(_inputs):
        tries.append(1)
        if len(tries) < 60:
            raise requests.exceptions.ConnectionError("refused")
        return True

    stage.canary = canary
    stage.scorer("safe", answer=answer)
    stage.scorers.pop("short")
    for number in range(3):
        stage.event(f"event {number}")
    stage.run()
    assert {row.label for row in stage.open().figures.verdict_counts() if row.segment == "all"} == {"pass"}
