"""The whole page as a value: what is missing and what to do, who sits where, and the form that strangers see."""

from dataclasses import replace
from pathlib import Path

import pytest

from monitor.clock import ManualClock
from monitor.health import Dependency
from monitor.last_known import Known
from monitor.ledger import (
    Accounted,
    JobRow,
    Mismatch,
    PassRate,
    PositionRow,
    open_ledger,
)
from monitor.overview import Overview
from monitor.status_page.building import page_view
from monitor.status_page.facts import Asked, AskedScorer, Own, Told
from monitor.status_page.open_form import numbers_only
from monitor.status_page.page import StatusPage
from monitor.status_page.rendering import page_html
from monitor.status_page.tiles import tiles_of
from monitor.status_page.view import PageView
from tests.status_pages import (
    NAMES,
    NOW_MS,
    TEXTS,
    asked,
    asked_in,
    comparison_row,
    fill,
    overview,
    own,
    own_in,
    reader,
)


def view_of(known: Overview, asked_for: Asked | None = None, owned: Own | None = None) -> PageView:
    """The page right after the ledger said this."""
    told = Known(value=Told(overview=known, hours={}), age_s=0.0)
    return page_view(asked_for or asked(), owned or own(), told, NOW_MS)


def missing(view: PageView) -> list[str]:
    """What it says is missing."""
    return [each.what for each in view.missing]


def test_before_the_ledger_answers_the_page_says_what_it_waits_for() -> None:
    """A daemon that starts without its services is not a blank page."""
    down = {"ledger": Dependency(up=False, cause="refused"), "kafka": Dependency(up=True)}
    view = page_view(asked(), own(dependencies=down), None, NOW_MS)
    assert missing(view) == ["ledger does not answer."]
    html = page_html(view, refresh=True)
    assert "Nothing is known yet" in html
    assert "refused" in html
    assert "Open alerts" not in html


def test_an_empty_daemon_says_what_is_missing_and_what_to_do() -> None:
    """Each step with its command, and no word of good."""
    scorers = (AskedScorer(name="safety", target=None, shadow=False), AskedScorer(name="x", target=None, shadow=True))
    view = view_of(overview(), asked(scorers=scorers, candidates=("v2", "v3")))
    assert missing(view) == [
        "No event has come from the topic traces.",
        "Nothing says what is good for safety.",
        "v2 and v3 have not been compared yet.",
    ]
    html = page_html(view, refresh=False)
    assert "tracewatch publish -c tracewatch.yaml events.jsonl" in html
    assert "It is not known whether quality is good" in html
    assert "chip good" not in html.partition('id="services"')[0]


def test_events_that_nobody_judged_are_told() -> None:
    """Received and not scored: sampling, budget or judge."""
    position = PositionRow(topic="traces", partition=0, next_offset=9, received=9, lost=0)
    sampled_out = Accounted(scorer="safety", outcome="sampled_out", count=9)
    assert missing(view_of(overview(positions=(position,), accounted=(sampled_out,)))) == [
        "No event has been judged yet."
    ]
    scored = replace(sampled_out, outcome="scored")
    assert missing(view_of(overview(positions=(position,), accounted=(scored,)))) == []


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (None, "not tested yet"),
        (JobRow(job="alerts", last_success_ms=None, last_failure_ms=1, last_error="x"), "not tested yet"),
        (
            JobRow(job="alerts", last_success_ms=NOW_MS - 7_200_000, last_failure_ms=None, last_error=None),
            "for 2\u00a0h",
        ),
    ],
    ids=["never", "failed", "overdue"],
)
def test_a_series_that_nobody_looks_at_is_not_good(job: JobRow | None, reason: str) -> None:
    """A lease that nobody holds must not leave a green page."""
    rate = PassRate(scorer="safety", segment="all", rate=0.99, verdicts=100)
    asked_for = asked(deadline_s=lambda _job, last_s: None if last_s is None else last_s + 600)
    jobs = () if job is None else (job,)
    (scorer,) = view_of(overview(pass_rates=(rate,), jobs=jobs), asked_for).scorers
    assert scorer.state == "unknown"
    assert reason in (scorer.whole.reason or "")
    (scorer,) = view_of(overview(pass_rates=(rate,)), asked_for).scorers
    assert scorer.state == "good"


def test_what_is_in_trouble_comes_first_everywhere() -> None:
    """Services that are down, jobs that fail or are late, accounts that do not add up, comparisons that regressed."""
    jobs = (
        JobRow(job="a", last_success_ms=NOW_MS, last_failure_ms=None, last_error=None),
        JobRow(job="b", last_success_ms=NOW_MS - 9, last_failure_ms=NOW_MS, last_error="no"),
    )
    well = comparison_row(candidate="v3", finished_at_ms=NOW_MS)
    well = replace(well, comparison={**well.comparison, "metrics": [], "pass_to_fail": []})
    known = overview(
        jobs=jobs,
        accounted=(Accounted(scorer="a", outcome="scored", count=9), Accounted(scorer="b", outcome="scored", count=8)),
        mismatches=(Mismatch(scorer="b", received=9, accounted=8),),
        comparisons=(well, comparison_row()),
    )
    down = {"a": Dependency(up=True), "b": Dependency(up=False, cause="no")}
    view = view_of(known, owned=own(dependencies=down))
    assert [each.job for each in view.jobs] == ["b", "a"]
    assert [each.name for each in view.dependencies] == ["b", "a"]
    assert [(each.scorer, each.missing) for each in view.accounts] == [("b", 1), ("a", 0)]
    assert [each.regressed for each in view.comparisons] == [True, False]
    assert {tile.label: tile.tone for tile in tiles_of(view)}["Events received"] == "bad"


def test_lag_is_shown_where_this_replica_reads() -> None:
    """Of other partitions it is not known, which is not 0."""
    rows = tuple(PositionRow(topic="traces", partition=each, next_offset=9, received=9, lost=0) for each in range(2))
    view = view_of(overview(positions=rows), owned=own(lags={("traces", 0): 5}))
    assert [each.lag for each in view.partitions] == [5, None]


def field(name: str) -> str:
    """A text that nothing else on the page is."""
    return f"-{name}-told-"


@pytest.fixture
def shown(tmp_path: Path) -> StatusPage:
    """The page of a ledger in which every field has a text of its own."""
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    fill(ledger, field)
    clock = ManualClock(NOW_MS)
    status = StatusPage(asked_in(field), lambda: own_in(field), clock)
    status.reads(reader(ledger, clock, asked_in(field)))
    yield status
    ledger.close()


def test_who_may_see_texts_sees_every_field_of_the_ledger(shown: StatusPage) -> None:
    """Alerts with their examples, candidates, jobs, replicas: nothing that convinces is left out."""
    html = shown.html(with_texts=True, refresh=False).replace("<wbr>", "")
    assert [name for name in (*TEXTS, *NAMES) if field(name) not in html] == []
    assert 'href="http://mlflow.invalid:5000/#/experiments/7/traces' in html


def test_strangers_see_numbers_and_their_names_and_are_told_why(shown: StatusPage) -> None:
    """No text of a trace, no id, no cause, no error, no address, no host; the figures are all there."""
    html = shown.html(with_texts=False, refresh=False).replace("<wbr>", "")
    assert [name for name in TEXTS if field(name) in html] == []
    assert [name for name in NAMES if field(name) not in html] == []
    assert "mlflow.invalid" not in html
    assert "Numbers only" in html
    assert "http.token" in html
    for figure in ("94.0", "71.0", "412", "$12.60"):
        assert figure in html


def test_the_open_form_of_a_page_is_its_own_open_form() -> None:
    """Nothing is taken away twice, and nothing grows back."""
    view = numbers_only(view_of(overview(comparisons=(comparison_row(),))))
    assert numbers_only(view) == view


def test_known_secrets_are_masked_before_texts_are_cut() -> None:
    """As in everything that is shown: a secret that a text quotes, and one that would be cut in half."""
    secret = "s3cr3t-token"
    mask = lambda text: text.replace(secret, "***")  # noqa: E731
    view = view_of(overview(), owned=own(dependencies={"judge": Dependency(up=False, cause="x" * 295 + secret)}))
    html = page_html(view, refresh=False, mask=mask)
    assert "s3cr3" not in html
    assert "***" in html


def test_the_page_asks_again_by_itself_unless_it_is_held(shown: StatusPage) -> None:
    """Each minute; who reads an example on a phone holds it."""
    assert '<meta http-equiv="refresh" content="60">' in shown.html(with_texts=True, refresh=True)
    assert "http-equiv" not in shown.html(with_texts=True, refresh=False)
