"""Scorers whose sampling makes their tests slow: a rare trace that may be kept seldom costs every other its weight."""

from collections.abc import Iterable, Iterator
from typing import Final

from monitor.clock import Clock
from monitor.config import Config
from monitor.daemon.assembly import is_budgeted, may_judge, recorded_series_of
from monitor.errors import MonitorError
from monitor.sampling import smallest_rate, unruled_rate
from monitor.series.view import SeriesView

_SLOW: Final = 5.0


def slow_tests(config: Config, clock: Clock) -> list[str]:
    """One line for each scorer that alerts and whose ordinary verdicts are a fifth of a bet or less."""
    # Nothing is read where there is nothing to say.
    return list(_warnings(config, _recorded(config, clock))) if any(_warnings(config, ())) else []


def _warnings(config: Config, series: Iterable[SeriesView]) -> Iterator[str]:
    known = {each.scorer: each for each in series if each.segment == "all"}
    for number, scorer in enumerate(config.scorers):
        budgeted = is_budgeted(config, judges=may_judge(scorer))
        smallest, key = smallest_rate(config.sampling, scorer.rate, budgeted=budgeted)
        # Where a trace matches no rule: what most traces do.
        usual = unruled_rate(config.sampling, scorer.rate)[0]
        if scorer.shadow or smallest == 0 or usual < _SLOW * smallest:
            continue
        named = f"scorers[{number}].rate" if key == "rate" else key
        yield (
            f"scorer {scorer.name}: its smallest inclusion probability is {smallest:g}, by {named}; a trace that is "
            f"kept at {usual:g} is {smallest / usual:.2g} of a bet, so that falls are found up to "
            f"{usual / smallest:.0f} times later{_sight(known.get(scorer.name))}"
        )


def _sight(view: SeriesView | None) -> str:
    if view is None or view.reference is None:
        return ""
    if view.detectable_drop is None:
        return "; at the present pace no fall would be noticed within a day"
    return f"; at the present pace a fall of {view.detectable_drop:.3f} would be noticed within a day"


def _recorded(config: Config, clock: Clock) -> list[SeriesView]:
    """The series as the ledger knows them; none where it cannot be asked, which a line of its own says."""
    from monitor.ledger import open_configured  # noqa: PLC0415 - sqlalchemy takes a while to import

    try:
        ledger = open_configured(config.ledger)
    except MonitorError:
        return []
    try:
        return recorded_series_of(config, ledger, clock.now_ms())
    except MonitorError:
        return []
    finally:
        ledger.close()
