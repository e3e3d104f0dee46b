"""Series' states: good needs a target, enough verdicts, a rate above it and a look; everything else says why not."""

import re
from itertools import product

import pytest

from monitor.ledger import AlertRow, PassRate
from monitor.ledger.rows import HourRow
from monitor.series.view import SeriesView as SeriesOfTest
from monitor.status_page.facts import AskedScorer
from monitor.status_page.rendering import page_html
from monitor.status_page.series import SEGMENTS_SHOWN, counts_of, scorer_views, series_views, with_hours
from monitor.status_page.view import SeriesView
from tests.status_pages import NOW_MS, alert_row, asked, page, series


def rate(segment: str = "all", rate: float = 0.95, verdicts: int = 100, scorer: str = "safety") -> PassRate:
    """A pass rate."""
    return PassRate(scorer=scorer, segment=segment, rate=rate, verdicts=verdicts, lower=rate - 0.1, upper=rate + 0.05)


def state(
    *rates: PassRate,
    alerts: tuple[AlertRow, ...] = (),
    untested: str | None = None,
    target: float | None = 0.9,
    shadow: bool = False,
) -> tuple[str, str | None]:
    """State and reason of the one series there is."""
    scorer = AskedScorer(name="safety", target=target, shadow=shadow)
    (view,) = series_views(asked(scorers=(scorer,)), rates, alerts, untested)
    return view.state, view.reason


def test_a_series_above_its_target_that_was_looked_at_is_good() -> None:
    """With nothing to add; it carries its figures."""
    assert state(rate()) == ("good", None)
    assert state(rate(rate=0.9)) == ("good", None)
    (view,) = series_views(asked(), [rate()], (), None)
    assert (view.rate, view.verdicts, view.target_or_reference) == (0.95, 100, 0.9)
    assert (view.lower, view.upper) == pytest.approx((0.85, 1.0))


def test_an_alert_that_fires_is_a_regression_whatever_else_is_said() -> None:
    """The ledger's word stands, also where the window holds nothing of it any more."""
    assert state(rate(), alerts=(alert_row(),)) == ("regressed", None)
    assert state(alerts=(alert_row(),)) == ("regressed", None)
    assert state(rate(), alerts=(alert_row(kind="candidate_regression"),)) == ("good", None)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"rates": ()}, "no verdict in the last day"),
        ({"rates": (rate(verdicts=19),)}, "19 verdicts, 20 are needed"),
        ({"rates": (rate(verdicts=1),)}, "1 verdict, 20 are needed"),
        ({"target": None}, "no target is set: nothing says what is good"),
        ({"shadow": True}, "in shadow: it is scored and alerts nobody"),
        ({"alerts": (alert_row(state="pending"),)}, "below its target, and not yet for long enough to alert"),
        ({"rates": (rate(rate=0.89),)}, "below its target of 90.0\u00a0% over the day, though not lately"),
        ({"untested": "not tested for 1 h"}, "not tested for 1 h"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_series_of_which_too_little_is_known_is_unknown_and_says_why(given: dict, reason: str) -> None:
    """Each doubt alone takes the good word away."""
    rates = given.pop("rates", (rate(),))
    assert state(*rates, **given) == ("unknown", reason)


def test_good_needs_everything_at_once() -> None:
    """Of all combinations exactly one is good."""
    found = [
        (target, verdicts, height, untested)
        for target, verdicts, height, untested in product((None, 0.9), (0, 19, 20), (0.5, 0.95), (None, "not tested"))
        if state(rate(rate=height, verdicts=verdicts), untested=untested, target=target)[0] == "good"
    ]
    assert found == [(0.9, 20, 0.95, None)]


def test_a_series_whose_scorer_changed_says_since_when_it_is_anew() -> None:
    """On the line of the whole scorer alone: its segments began anew with it."""
    text = page_html(page(series(anew_ms=NOW_MS - 3_600_000)), refresh=False)
    assert re.search("anew since <time [^>]*>[^<]+</time>, when its scorer changed", text)
    assert "when its scorer changed" not in page_html(page(series()), refresh=False)


def test_every_configured_scorer_has_a_series_even_without_a_verdict() -> None:
    """One that is silent is shown as unknown, not left out; one that is configured no longer is left out."""
    scorers = (AskedScorer(name="a", target=0.9, shadow=False), AskedScorer(name="b", target=0.9, shadow=False))
    found = series_views(
        asked(scorers=scorers), [rate(scorer="b"), rate("v=1", scorer="b"), rate(scorer="gone")], (), None
    )
    assert [(each.scorer, each.segment, each.state) for each in found] == [
        ("a", "all", "unknown"),
        ("b", "all", "good"),
        ("b", "v=1", "good"),
    ]


def test_the_worst_scorer_comes_first_and_shadows_last() -> None:
    """A scorer is as bad as its worst regression; of equal ones the one furthest below its target is first."""
    shown = [
        series(scorer="good"),
        series(scorer="learning", state="learning"),
        series(scorer="shadow", state="unknown", shadow=True),
        series(scorer="unknown", state="unknown"),
        series(scorer="bad", state="regressed", rate=0.8),
        series(scorer="worse", state="regressed", rate=0.5),
        series(scorer="in part"),
        series(scorer="in part", segment="v=2", state="regressed"),
    ]
    views = scorer_views(shown)
    assert [view.whole.scorer for view in views] == ["worse", "bad", "in part", "unknown", "learning", "good", "shadow"]
    assert views[2].state == "regressed"


def test_an_unknown_segment_does_not_make_its_scorer_unknown() -> None:
    """Rare values of a key have few verdicts: that is no news."""
    (view,) = scorer_views([series(), series(segment="v=rare", state="unknown")])
    assert view.state == "good"


def test_of_many_segments_a_page_shows_those_that_matter() -> None:
    """Regressed ones first, then those with the most verdicts; the others are counted."""
    many = [series(segment=f"v={number:02}", verdicts=number) for number in range(20)]
    (view,) = scorer_views([series(), *many, series(segment="v=bad", state="regressed", verdicts=1)])
    assert [each.segment for each in view.segments] == ["v=bad", *(f"v={19 - number}" for number in range(7))]
    assert len(view.segments) == SEGMENTS_SHOWN
    assert view.hidden == 21 - SEGMENTS_SHOWN


def test_shadows_are_not_counted() -> None:
    """They are no part of what is watched."""
    shown = [series(), series(state="regressed"), series(state="unknown", shadow=True)]
    assert counts_of(shown) == {"regressed": 1, "unknown": 0, "learning": 0, "good": 1}


def test_hours_become_the_series_last_day() -> None:
    """An hour without an answer is a gap and never a 0; errors are counted."""
    hours = [
        HourRow(scorer="safety", segment="all", hour=1, verdicts=2, errors=0, weight=4.0, passed=3.0),
        None,
        HourRow(scorer="safety", segment="all", hour=3, verdicts=0, errors=2, weight=0.0, passed=0.0),
    ]
    found: list[SeriesView] = with_hours([series(), series(segment="v=1")], {("safety", "all"): hours})
    assert (found[0].spark, found[0].errors) == ((0.75, None, None), 2)
    assert (found[1].spark, found[1].errors) == ((), 0)


def of_test(word: str = "good", **given: object) -> SeriesOfTest:
    """A series as its own test sees it."""
    values: dict[str, object] = {
        "scorer": "safety", "segment": "all", "scorer_version": "v", "word": word, "reason": None, "rate": 0.9,
        "lower": 0.8, "upper": 0.95, "verdicts": 100, "reference": 0.88, "evidence": 0.1, "detectable_drop": 0.05,
        "since_ms": None, "shadow": False,
    }  # fmt: skip
    return SeriesOfTest(**{**values, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("series_of_test", "alerts", "untested", "expected"),
    [
        (of_test(), (), None, ("good", None)),
        (of_test("unknown", reason="silent"), (), None, ("unknown", "silent")),
        (of_test("learning", reason="9 of 1000"), (), None, ("learning", "9 of 1000")),
        (of_test("regressed"), (), "not tested for 1 h", ("regressed", None)),
        (of_test(), (alert_row(),), None, ("regressed", None)),
        (of_test(), (), "not tested for 1 h", ("unknown", "not tested for 1 h")),
        (of_test(shadow=True), (), None, ("unknown", "in shadow: it is scored and alerts nobody")),
    ],
)
def test_the_word_of_a_series_own_test_stands(
    series_of_test: SeriesOfTest, alerts: tuple[AlertRow, ...], untested: str | None, expected: tuple[str, str | None]
) -> None:
    """Beside what a firing alert says, and unless nobody has looked lately; it needs no target."""
    scorer = AskedScorer(name="safety", target=None, shadow=False)
    (view,) = series_views(asked(scorers=(scorer,)), [rate()], alerts, untested, [series_of_test])
    assert (view.state, view.reason) == expected
    assert (view.rate, view.target_or_reference, view.detectable_drop, view.evidence) == (0.9, 0.88, 0.05, 0.1)
