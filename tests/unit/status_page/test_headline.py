"""The page's one sentence: the worst that is known comes first, and nothing unknown is ever called good."""

from itertools import product

import pytest

from monitor.status_page.headline import headline_of
from monitor.status_page.tiles import tiles_of
from monitor.status_page.view import DependencyView, PageView, State
from tests.status_pages import alert_view, page, series

STATES: tuple[State, ...] = ("regressed", "unknown", "learning", "good")
DOWN = (DependencyView(name="kafka", up=False, cause="refused"), DependencyView(name="ledger", up=True))


def words(view: PageView) -> tuple[str, str]:
    """Tone and words."""
    headline = headline_of(view)
    return headline.tone, headline.words


@pytest.mark.parametrize("states", list(product(STATES, repeat=2)), ids="-".join)
def test_good_is_said_only_where_every_scorer_is_good(states: tuple[State, State]) -> None:
    """One that has regressed is told before one that is unknown, and that before one that learns."""
    tone, _ = words(page(*(series(scorer=str(number), state=state) for number, state in enumerate(states))))
    worst = min(states, key=STATES.index)
    assert tone == {"regressed": "bad", "unknown": "open", "learning": "learning", "good": "good"}[worst]


def test_each_state_has_its_sentence() -> None:
    """In plain words, with numbers."""
    good, learning, unknown = series(), series(scorer="b", state="learning"), series(scorer="c", state="unknown")
    assert words(page(good)) == ("good", "The one scorer is good")
    assert words(page(good, good)) == ("good", "All 2 scorers are good")
    assert words(page(good, learning)) == ("learning", "1 of 2 scorers still learning")
    assert words(page(good, unknown)) == ("open", "1 of 2 scorers unknown")
    assert words(page(unknown)) == ("open", "It is not known whether quality is good")
    assert words(page(series(state="regressed"))) == ("bad", "1 series has regressed")
    assert headline_of(page(good, unknown)).detail == "2 series: 1 unknown and 1 good."


def test_without_a_scorer_that_alerts_nothing_is_watched() -> None:
    """Scorers in shadow say nothing of quality."""
    assert words(page()) == ("open", "Nothing is watched")
    assert words(page(series(shadow=True))) == ("open", "Nothing is watched")
    assert words(page(series(shadow=True, state="unknown"), series())) == ("good", "The one scorer is good")


def test_a_ledger_that_has_never_answered_is_told_before_everything_else() -> None:
    """There is nothing to call good or bad, and there are no figures."""
    view = page(series(), age_s=None, dependencies=DOWN)
    assert words(view) == ("open", "Nothing is known yet")
    assert tiles_of(view) == []


def test_old_figures_are_never_good() -> None:
    """A minute after the ledger's last word nothing on the page speaks of now."""
    assert words(page(series(), age_s=60.0))[0] == "good"
    view = page(series(), age_s=61.0)
    assert words(view) == ("warn", "The ledger has been silent for 1\u00a0min")
    assert not [tile for tile in tiles_of(view) if tile.tone == "good"]


def test_an_alert_that_fires_stands_above_good_series() -> None:
    """A page is bad, a ticket is a warning, and one that is pending is neither."""
    ticket, pending = alert_view(severity="ticket"), alert_view(state="pending")
    assert words(page(series(), alerts=(alert_view(),), firing=1)) == ("bad", "1 alert fires")
    assert words(page(series(), alerts=(ticket, ticket), firing=2)) == ("warn", "2 alerts fire")
    assert words(page(series(), alerts=(pending,), pending=1))[0] == "good"


def test_a_service_that_is_away_is_told_unless_something_is_worse() -> None:
    """What is good may be so no longer."""
    assert words(page(series(), dependencies=DOWN)) == ("warn", "Kafka does not answer")
    assert words(page(series(state="regressed"), dependencies=DOWN))[0] == "bad"
