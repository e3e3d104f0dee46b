"""From what the ledger holds to its alert table."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog

from monitor.alerting.candidates import CandidateFindings
from monitor.alerting.look import Alerting
from monitor.alerts.settings import AlertSettings
from monitor.ledger import LeaseLost, LedgerUnavailable
from monitor.ledger.ledger import Ledger, open_ledger
from monitor.ledger.rows import AlertRow, EvaluationRow, LeaseToken
from monitor.ledger.series import Series
from monitor.series.blindness import Sight
from monitor.series.finder import SeriesFinder
from monitor.series.findings import PART_OF_ALL, SeriesFindings
from monitor.series.view import SeriesViews
from monitor.series.watched import WatchedScorer
from monitor.stats.settings import StatisticsSettings
from tests.contracts.ledger.ledger_rows import trace
from tests.unit.series.closing_stage import BEGAN_MS, MINUTE_MS, closing, fill, verdict, watched

DAY = timedelta(days=1)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A fresh ledger in memory."""
    opened = open_ledger("sqlite://")
    yield opened
    opened.close()


@pytest.fixture
def token(ledger: Ledger) -> LeaseToken:
    """The lease."""
    taken = ledger.lease.acquire("leader", "me", 9e9, BEGAN_MS)
    assert taken is not None
    return taken


def alerting(
    ledger: Ledger,
    *scorers: WatchedScorer,
    expected: tuple[str, ...] = (),
    candidates: tuple[str, ...] = ("v2",),
    **words: Any,
) -> Alerting:
    found = scorers or (watched(),)
    severities: Mapping[str, Any] = {each.name: "page" for each in found if each.alerting}
    finders = (
        SeriesFinder(
            ledger,
            found,
            severities=severities,
            settings=StatisticsSettings(expected=expected),
            sight=Sight(min_verdicts=20, quiet_ms=60 * MINUTE_MS, window_ms=1440 * MINUTE_MS),
            alerts=AlertSettings(),
            **words,
        ),
        CandidateFindings(ledger.evaluations, candidates, severities),
    )
    return Alerting(ledger.alerts, finders, structlog.get_logger())


def alerts(ledger: Ledger, kind: str) -> list[AlertRow]:
    return [row for row in ledger.alerts.history(99) if row.kind == kind]


def states(ledger: Ledger, kind: str = "production_regression") -> list[tuple[str, str]]:
    return [(row.segment, row.state) for row in alerts(ledger, kind)]


def test_a_fallen_series_fires_at_once_and_ends_with_its_recovery(ledger: Ledger, token: LeaseToken) -> None:
    """The test has decided: nothing has to be held for a while, and one good verdict ends nothing."""
    end_ms = fill(ledger, "f" * 30 + "p" * 400)
    closer, looker = closing(ledger, max_age=9 * DAY), alerting(ledger)
    closer.close(token, BEGAN_MS + 40 * MINUTE_MS)
    looker.look(token, BEGAN_MS + 40 * MINUTE_MS)
    assert states(ledger) == [("all", "firing")]
    closer.close(token, BEGAN_MS + 50 * MINUTE_MS)
    looker.look(token, BEGAN_MS + 50 * MINUTE_MS)
    assert states(ledger) == [("all", "firing")]
    closer.close(token, end_ms + 3 * MINUTE_MS)
    looker.look(token, end_ms + 3 * MINUTE_MS)
    assert states(ledger) == [("all", "resolved")]


def test_the_proof_says_what_a_person_needs(ledger: Ledger, token: LeaseToken) -> None:
    """Before, after, since when, the guilty version, the slice, and the traces with a good answer from before."""
    for number in range(90):
        bad = number >= 60 and number % 2 == 0
        version = "v2" if bad else "v1"
        at_ms = BEGAN_MS + number * MINUTE_MS
        row = verdict(number, "fail" if bad else "pass", at_ms, app_version=version, segments={"app_version": version})
        ledger.intake.claim(
            trace(trace_id=row.trace_id, offset=number, event_time_ms=at_ms, inputs_digest=f"d{number % 6}"), []
        )
        ledger.intake.record(row)
    closing(ledger).close(token, BEGAN_MS + 93 * MINUTE_MS)
    alerting(ledger).look(token, BEGAN_MS + 93 * MINUTE_MS)
    overall = next(row for row in alerts(ledger, "production_regression") if row.segment == "all")
    proof = overall.details
    assert (proof["before"], proof["first_version"]) == (0.9, "v2")
    assert abs(proof["since_ms"] - (BEGAN_MS + 60 * MINUTE_MS)) <= MINUTE_MS
    assert proof["interval"][0] < proof["after"] < proof["interval"][1] < 0.9
    assert [each["segment"] for each in proof["explained_by"]] == ["app_version=v2"]
    assert len(proof["examples"]) == 3
    assert all(each["value"] == 0 and each["rationale"].startswith("rationale") for each in proof["examples"])
    assert {each["good"]["trace_id"] for each in proof["examples"]} <= {f"tr-{number:06d}" for number in range(60)}
    # The version that is good has no alert.
    assert states(ledger) == [("all", "firing"), ("app_version=v2", "firing")]


def severities_at(ledger: Ledger, token: LeaseToken) -> Callable[[int], dict[str, str]]:
    """Closes what is due at a minute, looks, and gives the severity of each segment's open regression."""
    closer, looker = closing(ledger, max_age=9 * DAY), alerting(ledger)

    def look(minute: int) -> dict[str, str]:
        closer.close(token, BEGAN_MS + minute * MINUTE_MS)
        looker.look(token, BEGAN_MS + minute * MINUTE_MS)
        return {row.segment: row.severity for row in ledger.alerts.open_alerts() if row.kind == "production_regression"}

    return look


def serve(ledger: Ledger, version: str, label: str, minutes: range) -> None:
    """A verdict a minute on a version."""
    for number in minutes:
        row = verdict(number, label, BEGAN_MS + number * MINUTE_MS, app_version=version)
        ledger.intake.claim(trace(trace_id=row.trace_id, offset=number, event_time_ms=row.event_time_ms), [])
        ledger.intake.record(replace(row, segments={"app_version": version}))


def test_the_alert_of_a_release_that_was_rolled_back_ends_when_all_is_well(ledger: Ledger, token: LeaseToken) -> None:
    """No verdict will say that the release is well. It ends with `all`, not on silence; the release back is a page."""
    closer, looker = closing(ledger, max_age=9 * DAY), alerting(ledger)

    def look(minute: int) -> list[tuple[str, str]]:
        closer.close(token, BEGAN_MS + minute * MINUTE_MS)
        looker.look(token, BEGAN_MS + minute * MINUTE_MS)
        return sorted(states(ledger))

    serve(ledger, "v2", "fail", range(120))
    assert look(123) == [("all", "firing"), ("app_version=v2", "firing")]
    assert look(600) == [("all", "firing"), ("app_version=v2", "firing")], "the stream rests"
    serve(ledger, "v1", "pass", range(600, 610))
    assert look(613) == [("all", "firing"), ("app_version=v2", "firing")], "all is not well yet"
    serve(ledger, "v1", "pass", range(610, 1000))
    assert look(1003) == [("all", "resolved"), ("app_version=v2", "resolved")]
    serve(ledger, "v2", "fail", range(1000, 1001))
    assert look(1004) == [("all", "resolved"), ("app_version=v2", "firing"), ("app_version=v2", "resolved")]


def test_one_regression_is_one_page_and_a_later_one_of_a_segment_is_another(ledger: Ledger, token: LeaseToken) -> None:
    """The release that broke everything is told of with `all`; a customer who falls the day after is told of."""
    look = severities_at(ledger, token)
    serve(ledger, "v2", "fail", range(120))
    assert look(123) == {"all": "page", "app_version=v2": "none"}
    [part] = [row for row in ledger.alerts.open_alerts() if row.segment == "app_version=v2"]
    assert (part.state, part.details["held_back"]) == ("firing", PART_OF_ALL)
    for number in range(1000, 1060):
        row = verdict(number, "fail", BEGAN_MS + number * MINUTE_MS, segments={"customer": "anna"})
        ledger.intake.record(row)
    assert look(1063) == {"all": "page", "app_version=v2": "none", "customer=anna": "page"}


def test_a_segment_that_was_paged_before_all_fell_stays_a_page(ledger: Ledger, token: LeaseToken) -> None:
    """Its receivers would take the fall of its severity for its end."""
    look = severities_at(ledger, token)
    for number in range(600):
        customer = "anna" if number % 15 == 0 else "bert"
        label = "fail" if customer == "anna" or number >= 450 else "pass"
        at_ms = BEGAN_MS + number * MINUTE_MS
        ledger.intake.record(verdict(number, label, at_ms, segments={"customer": customer}))
    assert look(450) == {"customer=anna": "page"}
    assert look(603) == {"all": "page", "customer=anna": "page", "customer=bert": "none"}


def test_a_regression_is_told_though_the_good_answers_cannot_be_found(ledger: Ledger, token: LeaseToken) -> None:
    """A statement that takes too long costs the examples' company and not the page."""

    class Slow(Series):
        def passes_before(self, *_: object) -> Mapping[str, str]:
            raise LedgerUnavailable("canceling statement due to statement timeout")

    fill(ledger, "f" * 30)
    closing(ledger).close(token, BEGAN_MS + 33 * MINUTE_MS)
    findings = SeriesFindings(
        ledger=Slow(ledger.series.database),
        scorers={"safety": watched()},
        severities={"safety": "page"},
        sight=Sight(min_verdicts=20, quiet_ms=60 * MINUTE_MS, window_ms=1440 * MINUTE_MS),
    )
    [found] = findings.look(ledger.series.all(), [])
    assert (found.bad, found.details["before"], len(found.details["examples"])) == (True, 0.9, 3)


def test_the_slices_of_all_are_held_against_their_own_series_and_those_of_a_segment_are_not(
    ledger: Ledger, token: LeaseToken
) -> None:
    """Of what two values share no series knows what it was before."""
    for number in range(60):
        segments = {"customer": "anna" if number % 2 else "bert", "region": "eu" if number % 3 else "us"}
        label = "pass" if number % 4 == 1 else "fail"
        ledger.intake.record(verdict(number, label, BEGAN_MS + number * MINUTE_MS, segments=segments))
    closing(ledger, max_age=9 * DAY).close(token, BEGAN_MS + 63 * MINUTE_MS)
    known = {"customer=anna": 0.8, "region=eu": 0.99, "region=us": 0.5}
    rows = [replace(row, state={**row.state, "reference": known.get(row.segment, 0.9)}) for row in ledger.series.all()]
    findings = SeriesFindings(
        ledger=ledger.series,
        scorers={"safety": watched()},
        severities={"safety": "page"},
        sight=Sight(min_verdicts=20, quiet_ms=60 * MINUTE_MS, window_ms=1440 * MINUTE_MS),
    )
    found = {each.segment: each.details for each in findings.look(rows, [])}
    before = {each["segment"]: each["before"] for each in found["all"]["explained_by"]}
    assert before == {"customer=bert": 0.9, "region=eu": 0.99}
    assert {each["before"] for each in found["customer=bert"]["explained_by"]} <= {0.9}


def test_a_segment_that_stays_bad_after_all_is_well_is_a_page(ledger: Ledger, token: LeaseToken) -> None:
    """The others have recovered: nothing else tells of it any more."""
    closer, looker = closing(ledger, max_age=9 * DAY), alerting(ledger)
    number = 0
    for minute in range(900):
        at_ms = BEGAN_MS + minute * MINUTE_MS
        for customer in ("anna", *["bert"] * 14):
            label = "fail" if minute < 120 or customer == "anna" else "pass"
            ledger.intake.record(verdict(number, label, at_ms, segments={"customer": customer}))
            number += 1
        if minute in {120, 899}:
            closer.close(token, at_ms + 3 * MINUTE_MS)
            looker.look(token, at_ms + 3 * MINUTE_MS)
            firing = {row.segment: row.severity for row in ledger.alerts.open_alerts() if row.state == "firing"}
            assert firing["customer=anna"] == ("none" if minute == 120 else "page")
            assert ("all" in firing) == (minute == 120)


def test_a_proof_stands_when_more_comes(ledger: Ledger, token: LeaseToken) -> None:
    """How it began does not change while it goes on."""
    fill(ledger, "f" * 60)
    closer, looker = closing(ledger, max_age=9 * DAY), alerting(ledger)
    proofs = []
    for minute in (40, 60):
        closer.close(token, BEGAN_MS + minute * MINUTE_MS)
        looker.look(token, BEGAN_MS + minute * MINUTE_MS)
        proofs.append(alerts(ledger, "production_regression")[0].details)
    assert proofs[0] == proofs[1]


def test_a_shadow_scorer_raises_no_alert(ledger: Ledger, token: LeaseToken) -> None:
    """It is scored, and nobody is told, not even that it is silent."""
    shadow = watched(alerting=False)
    fill(ledger, "f" * 60)
    closing(ledger, shadow).close(token, BEGAN_MS + 63 * MINUTE_MS)
    alerting(ledger, shadow).look(token, BEGAN_MS + 63 * MINUTE_MS)
    alerting(ledger, shadow).look(token, BEGAN_MS + 630 * MINUTE_MS)
    assert ledger.alerts.history(9) == []


def test_an_alert_ends_with_its_series(ledger: Ledger, token: LeaseToken) -> None:
    """A value that has retired, a scorer that has changed or is no longer configured: it is resolved as retired."""
    fill(ledger, "f" * 30, segments={"app_version": "v1"}, app_version="v1")
    closing(ledger).close(token, BEGAN_MS + 33 * MINUTE_MS)
    alerting(ledger).look(token, BEGAN_MS + 33 * MINUTE_MS)
    assert sorted(states(ledger)) == [("all", "firing"), ("app_version=v1", "firing")]
    alerting(ledger, watched(version="1" * 12)).look(token, BEGAN_MS + 34 * MINUTE_MS)
    ended = alerts(ledger, "production_regression")
    assert {(row.state, row.details["retired"]) for row in ended} == {("resolved", True)}


def test_a_regression_is_held_back_while_the_judge_has_moved(ledger: Ledger, token: LeaseToken) -> None:
    """It is in the table with the reason, and worth no page; when the judge is well again it is one."""
    fill(ledger, "f" * 30)
    closing(ledger).close(token, BEGAN_MS + 33 * MINUTE_MS)
    reason = "judge moved, not your app"
    held = alerting(ledger, held_back=lambda _rows, _scorer: reason, warnings=lambda: {"safety": "doubtful"})
    held.look(token, BEGAN_MS + 33 * MINUTE_MS)
    [row] = alerts(ledger, "production_regression")
    assert (row.severity, row.details["held_back"]) == ("none", "judge moved, not your app")
    assert row.details["warning"] == "doubtful"
    alerting(ledger).look(token, BEGAN_MS + 34 * MINUTE_MS)
    [row] = alerts(ledger, "production_regression")
    assert (row.severity, "held_back" in row.details, row.details["before"]) == ("page", False, 0.9)


def test_a_regression_that_was_told_before_the_judge_is_found_to_have_moved_says_so_and_stays_a_page(
    ledger: Ledger, token: LeaseToken
) -> None:
    """The frozen set is judged once a day. Receivers would take a page that is sent no more for its end."""
    fill(ledger, "f" * 30)
    closing(ledger).close(token, BEGAN_MS + 33 * MINUTE_MS)
    alerting(ledger).look(token, BEGAN_MS + 33 * MINUTE_MS)
    reason = "judge moved, not your app"
    alerting(ledger, held_back=lambda _rows, _scorer: reason).look(token, BEGAN_MS + 34 * MINUTE_MS)
    [row] = alerts(ledger, "production_regression")
    assert (row.state, row.severity, row.details["held_back"]) == ("firing", "page", reason)


def test_silence_is_unknown_after_a_while_and_verdicts_end_it(ledger: Ledger, token: LeaseToken) -> None:
    """A scorer that has stopped, and a release that was expected and never came, are told of; `all` is well."""
    end_ms = fill(ledger, "p" * 60)
    looker = alerting(ledger, expected=("app_version=v9",))
    closing(ledger).close(token, end_ms + 3 * MINUTE_MS)
    looker.look(token, end_ms + 3 * MINUTE_MS)
    assert states(ledger, "unknown") == [("app_version=v9", "pending")]
    looker.look(token, end_ms + 62 * MINUTE_MS)
    looker.look(token, end_ms + 130 * MINUTE_MS)
    assert sorted(states(ledger, "unknown")) == [("all", "firing"), ("app_version=v9", "firing")]
    silent = next(row for row in alerts(ledger, "unknown") if row.segment == "all")
    assert (silent.severity, silent.details["reason"]) == ("ticket", "the stream brings nothing")
    ledger.intake.record(verdict(999, "pass", end_ms + 131 * MINUTE_MS))
    closing(ledger).close(token, end_ms + 134 * MINUTE_MS)
    looker.look(token, end_ms + 134 * MINUTE_MS)
    assert ("all", "resolved") in states(ledger, "unknown")


@pytest.mark.parametrize(
    ("traces_until", "lag", "reason"),
    [
        (60, 0, "the stream brings nothing"),
        (60, 9, "the daemon is behind: what it reads came long ago"),
        (185, 9, "the scorer has stopped: no verdict comes"),
    ],
    ids=["the stream has stopped", "the daemon is behind", "the scorer has stopped"],
)
def test_a_lease_holders_first_look_tells_whose_fault_silence_is(
    ledger: Ledger, token: LeaseToken, traces_until: int, lag: int, reason: str
) -> None:
    """It has counted nothing yet: the newest trace tells, and what waits. `status` and the page say the same."""
    end_ms = fill(ledger, "p" * 60)
    for number in range(0, traces_until, 5):
        at_ms = BEGAN_MS + number * MINUTE_MS
        ledger.intake.claim(trace(trace_id=f"tr-{number:06d}", offset=number, event_time_ms=at_ms), [])
    closing(ledger).close(token, end_ms + 3 * MINUTE_MS)
    now_ms = BEGAN_MS + 190 * MINUTE_MS
    ledger.positions.open("traces", 0, 0)
    ledger.positions.note_lag({("traces", 0): lag}, now_ms - MINUTE_MS)
    alerting(ledger).look(token, now_ms)
    assert [row.details["reason"] for row in alerts(ledger, "unknown")] == [reason]
    sight = Sight(min_verdicts=20, quiet_ms=60 * MINUTE_MS, window_ms=1440 * MINUTE_MS)
    [shown] = SeriesViews(ledger=ledger, scorers={"safety": watched()}, sight=sight).read(now_ms)
    assert (shown.word, shown.reason) == ("unknown", reason)


def test_too_few_verdicts_are_unknown(ledger: Ledger, token: LeaseToken) -> None:
    """Ten in a day are not twenty: the series is not shown as good."""
    for number in range(30):
        ledger.intake.record(verdict(number, "pass", BEGAN_MS + number * 144 * MINUTE_MS))
    now_ms = BEGAN_MS + 29 * 144 * MINUTE_MS + 3 * MINUTE_MS
    closing(ledger, max_age=9 * DAY).close(token, now_ms)
    alerting(ledger).look(token, now_ms)
    [row] = alerts(ledger, "unknown")
    assert row.details["reason"].startswith("too few verdicts")


def test_a_regressed_candidate_fires_at_once_and_a_better_one_resolves_it(ledger: Ledger, token: LeaseToken) -> None:
    """The comparison decides; the next evaluation's comparison of the same candidate takes its place."""
    finish(ledger, "first", "regressed", BEGAN_MS)
    alerting(ledger).look(token, BEGAN_MS)
    [alert] = alerts(ledger, "candidate_regression")
    assert (alert.state, alert.segment) == ("firing", "version=v2")
    assert alert.details["examples"] == [{"trace_id": "tr-9", "rationale": "too long", "good": {"trace_id": "tr-1"}}]
    assert (alert.details["difference_lower"], alert.details["difference_upper"]) == (-0.6, -0.2)
    finish(ledger, "second", "inconclusive", BEGAN_MS + 1000)
    alerting(ledger).look(token, BEGAN_MS + 1000)
    assert states(ledger, "candidate_regression") == [("version=v2", "resolved")]


def test_a_candidates_alert_ends_when_it_is_compared_no_more(ledger: Ledger, token: LeaseToken) -> None:
    """It was given up and taken out of the configuration."""
    finish(ledger, "first", "regressed", BEGAN_MS)
    alerting(ledger).look(token, BEGAN_MS)
    assert states(ledger, "candidate_regression") == [("version=v2", "firing")]
    alerting(ledger, candidates=("v3",)).look(token, BEGAN_MS + MINUTE_MS)
    assert states(ledger, "candidate_regression") == [("version=v2", "resolved")]


def test_a_candidates_alert_ends_with_its_scorer(ledger: Ledger, token: LeaseToken) -> None:
    """A scorer that is taken out of the configuration leaves no alert that nobody can end."""
    finish(ledger, "first", "regressed", BEGAN_MS)
    alerting(ledger).look(token, BEGAN_MS)
    alerting(ledger, watched("another")).look(token, BEGAN_MS + 1000)
    assert states(ledger, "candidate_regression") == [("version=v2", "resolved")]


def test_a_replica_that_lost_the_lease_publishes_no_alert(ledger: Ledger) -> None:
    """Its token is checked in the transaction that writes."""
    token = ledger.lease.acquire("leader", "me", 60.0, BEGAN_MS)
    assert token is not None
    finish(ledger, "first", "regressed", BEGAN_MS)
    assert ledger.lease.acquire("leader", "another", 60.0, BEGAN_MS + 61_000) is not None
    with pytest.raises(LeaseLost):
        alerting(ledger).look(token, BEGAN_MS + 61_000)
    assert ledger.alerts.history(10) == []


def finish(ledger: Ledger, name: str, decided: str, at_ms: int) -> None:
    ledger.evaluations.begin(EvaluationRow(id=name, dataset="rows", digest="d", rows=[], started_at_ms=at_ms))
    metric = {"scorer": "safety", "baseline": 0.9, "candidate": 0.5, "difference": -0.4, "verdict": decided}
    comparison = {
        "metrics": [{**metric, "ci_low": -0.6, "ci_high": -0.2, "p_adjusted": 0.01, "n_paired": 40}],
        "candidate": {"run_id": "run"},
        "pass_to_fail": [
            {
                "scorer": "safety",
                "baseline": {"trace_id": "tr-1", "outputs": "short", "rationale": "good"},
                "candidate": {"trace_id": "tr-9", "outputs": "long", "rationale": "too long"},
            }
        ],
    }
    ledger.evaluations.finish(name, {}, {"v2": comparison}, finished_at_ms=at_ms)
