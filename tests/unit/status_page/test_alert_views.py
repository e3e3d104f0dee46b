"""Open alerts on the page: the worst first, with all of the proof that there is, whatever is missing of it."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.status_page.alerts import ALERTS_SHOWN, EXAMPLES_SHOWN, alert_views
from monitor.status_page.rendering import page_html
from monitor.status_page.view import ExampleView, Link, SliceView
from tests.status_pages import LINKS, NOW_MS, alert_row, page

PROOF = {
    "before": 0.94,
    "after": 0.71,
    "interval": [0.67, 0.75],
    "verdicts": 412,
    "since_ms": NOW_MS - 7_200_000,
    "first_version": "v1.1",
    "explained_by": [{"segment": "customer=a", "before": 0.9, "pass_rate": 0.4, "verdicts": 131, "share": 0.7}],
    "examples": [
        {"trace_id": "tr-1", "rationale": "No.", "value": 0.0, "weight": 0.5, "good": {"trace_id": "tr-0"}},
        {"trace_id": "tr-2", "rationale": "", "value": 0.0, "weight": 1.0, "good": None},
    ],
    "warning": "the judge moved",
}


def test_a_proof_is_shown_whole() -> None:
    """Before and after, interval, verdicts, since when, first version, what explains it, examples with links."""
    (view,) = alert_views([alert_row(details=PROOF)], LINKS)
    assert (view.before, view.after, view.lower, view.upper, view.verdicts) == (0.94, 0.71, 0.67, 0.75, 412)
    assert (view.since_ms, view.first_version, view.warnings) == (NOW_MS - 7_200_000, "v1.1", ("the judge moved",))
    assert view.explained_by == (SliceView(segment="customer=a", rate=0.4, verdicts=131, share=0.7, before=0.9),)
    assert view.examples[0] == ExampleView(
        trace=Link(text="tr-1", url=LINKS.trace("tr-1")),
        rationale="No.",
        value=0.0,
        weight=0.5,
        good=Link(text="tr-0", url=LINKS.trace("tr-0")),
    )
    assert (view.examples[1].rationale, view.examples[1].good) == (None, None)
    assert view.facts == ()


def test_a_rate_below_a_target_says_what_it_is_held_against() -> None:
    """The target is what it should be, not what it was."""
    (view,) = alert_views([alert_row(details={"pass_rate": 0.8, "target": 0.9, "verdicts": 31})], None)
    assert (view.before_name, view.before, view.after, view.verdicts, view.facts) == ("target", 0.9, 0.8, 31, ())


def test_a_candidates_regression_shows_both_rates_its_run_and_the_rows_that_turned() -> None:
    """The traces are known by their ids alone."""
    details = {
        "baseline": 0.9, "candidate": 0.7, "difference": -0.2, "p_adjusted": 0.01, "n_paired": 50,
        "verdict": "regressed", "evaluation": "e1", "run_id": "run-2", "pass_to_fail": ["tr-1", "tr-2"],
    }  # fmt: skip
    (view,) = alert_views([alert_row(kind="candidate_regression", details=details)], LINKS)
    assert (view.before_name, view.before, view.after) == ("baseline", 0.9, 0.7)
    assert view.run == Link(text="evaluation run", url=LINKS.run("run-2"))
    assert [example.trace.text for example in view.examples] == ["tr-1", "tr-2"]
    assert view.facts == (("adjusted p", 0.01), ("paired rows", 50))


def test_other_alerts_show_what_was_found_as_pairs() -> None:
    """Nested findings are named by both keys; what only the program needs is left out."""
    details = {"dead_letters": 31, "share": 0.026, "by_reason": {"not_json": 30}, "window_from": {"at_ms": 1}}
    (view,) = alert_views([alert_row(kind="dead_letters", details=details)], None)
    assert view.facts == (("dead_letters", 31), ("share", "2.6\u00a0%"), ("by_reason: not_json", 30))


@pytest.mark.parametrize(
    ("kind", "heading"),
    [
        ("production_regression", "Traces that moved the number most"),
        ("candidate_regression", "Traces that turned from pass to fail"),
        ("scorer_failing", "Traces on which the scorer failed"),
        ("judge_moved", "Traces that the judge judges otherwise now"),
        ("of_the_future", "Examples"),
    ],
)
def test_the_examples_of_an_alert_are_called_what_they_are(kind: str, heading: str) -> None:
    """Nothing has turned where a scorer fails, and the traces of a moved judge have turned either way."""
    views = alert_views([alert_row(kind=kind, details={"examples": PROOF["examples"]})], LINKS)
    html = page_html(page(alerts=tuple(views), firing=1), refresh=False)
    assert re.findall(r'<h4 class="sub">(.*)</h4>\n<ul class="examples">', html) == [heading]


def test_the_worst_alert_comes_first() -> None:
    """Firing before pending, pages before tickets before the others, then the oldest."""
    rows = [
        alert_row(id="pending", state="pending", since_ms=1),
        alert_row(id="none", severity="none", since_ms=1),
        alert_row(id="ticket", severity="ticket", since_ms=1),
        alert_row(id="young", since_ms=3),
        alert_row(id="old", since_ms=2),
    ]
    assert [view.since_ms for view in alert_views(rows, None)] == [2, 3, 1, 1, 1]
    assert [view.severity for view in alert_views(rows, None)] == ["page", "page", "ticket", "none", "page"]


def test_of_very_many_alerts_and_examples_the_first_are_shown() -> None:
    """A page stays a page."""
    rows = [alert_row(id=str(number), details={"examples": PROOF["examples"] * 5}) for number in range(100)]  # type: ignore[operator]
    views = alert_views(rows, None)
    assert len(views) == ALERTS_SHOWN
    assert len(views[0].examples) == EXAMPLES_SHOWN


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*PROOF, "target", "pass_to_fail", "run_id", "share", "x"]), ANY, max_size=8))
def test_details_of_any_form_make_a_page(details: dict[str, Any]) -> None:
    """An alert that an older or a newer version wrote is shown as far as it is understood."""
    views = alert_views([alert_row(details=details)], LINKS)
    assert "safety" in page_html(page(alerts=tuple(views), firing=1), refresh=False)


@pytest.mark.parametrize("key", PROOF)
def test_a_proof_with_a_part_missing_is_shown_without_it(key: str) -> None:
    """All keys are optional."""
    details = {name: value for name, value in PROOF.items() if name != key}
    (view,) = alert_views([alert_row(details=details)], None)
    assert "production has fallen" in page_html(page(alerts=(view,), firing=1), refresh=False)
