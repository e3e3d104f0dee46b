"""The state of each series in a word and why, from what its test says, pass rates, targets and open alerts. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from monitor.ledger.rows import AlertRow, HourRow, PassRate
from monitor.series.view import SeriesView as TestedSeries
from monitor.status_page.facts import Asked, AskedScorer
from monitor.status_page.hours import SeriesKey
from monitor.status_page.view import STATES, ScorerView, SeriesView, State
from monitor.status_page.words import counted, percent

SEGMENTS_SHOWN: Final = 8

_REGRESSION: Final = "production_regression"

Hours = Mapping[SeriesKey, Sequence[HourRow | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Looks:
    """What tells a series' state: the open alerts about it, and why nobody has looked at it lately, if so."""

    alerts: Mapping[SeriesKey, AlertRow]
    untested: str | None
    tested: Mapping[SeriesKey, TestedSeries]


def series_views(
    asked: Asked,
    rates: Iterable[PassRate],
    alerts: Iterable[AlertRow],
    untested: str | None,
    tested: Iterable[TestedSeries] = (),
) -> list[SeriesView]:
    """Every series of the configured scorers that is known, and `all` of each even where nothing is.

    `untested` says why the series were not looked at lately; None where they were. `tested` holds those that have a
    test, whose word stands; a series that has just begun has none yet.
    """
    known = {(rate.scorer, rate.segment): rate for rate in rates}
    looks = Looks(
        alerts={(row.scorer, row.segment): row for row in alerts if row.kind == _REGRESSION},
        untested=untested,
        tested={(each.scorer, each.segment): each for each in tested},
    )
    views = []
    for scorer in asked.scorers:
        segments = sorted(
            {segment for name, segment in (*known, *looks.alerts, *looks.tested) if name == scorer.name} | {"all"}
        )
        views += [
            _view(scorer, segment, known.get((scorer.name, segment)), looks, asked.min_verdicts) for segment in segments
        ]
    return views


def with_hours(series: Iterable[SeriesView], hours: Hours) -> list[SeriesView]:
    """The series with what each of the last hours said of them."""
    return [_with_hours(each, hours.get((each.scorer, each.segment), ())) for each in series]


def scorer_views(series: Iterable[SeriesView]) -> list[ScorerView]:
    """The series scorer by scorer, everywhere the worst first, and of each scorer's segments as many as fit a page."""
    by_scorer: dict[str, list[SeriesView]] = {}
    for each in series:
        by_scorer.setdefault(each.scorer, []).append(each)
    views = [_scorer_view(found) for found in by_scorer.values()]
    return sorted(views, key=lambda view: (view.whole.shadow, STATES.index(view.state), -_missing(view.whole)))


def counts_of(series: Iterable[SeriesView]) -> dict[State, int]:
    """State -> series, the worst first; those that alert nobody are left out."""
    states = [each.state for each in series if not each.shadow]
    return {state: states.count(state) for state in STATES}


def _view(scorer: AskedScorer, segment: str, rate: PassRate | None, looks: Looks, min_verdicts: int) -> SeriesView:
    if (tested := looks.tested.get((scorer.name, segment))) is not None:
        return _of_test(tested, looks)
    state, reason = _state(scorer, rate, looks.alerts.get((scorer.name, segment)), looks.untested, min_verdicts)
    return SeriesView(
        scorer=scorer.name,
        segment=segment,
        state=state,
        reason=reason,
        rate=None if rate is None else rate.rate,
        lower=None if rate is None else rate.lower,
        upper=None if rate is None else rate.upper,
        target_or_reference=scorer.target,
        verdicts=0 if rate is None else rate.verdicts,
        shadow=scorer.shadow,
    )


def _of_test(tested: TestedSeries, looks: Looks) -> SeriesView:
    """A series as its own test sees it; one that nobody has looked at lately is not good."""
    alert = looks.alerts.get((tested.scorer, tested.segment))
    state: State = "regressed" if alert is not None and alert.state == "firing" else tested.word
    reason = tested.reason if state == tested.word else None
    if tested.shadow and state != "regressed":
        state, reason = "unknown", "in shadow: it is scored and alerts nobody"
    elif state in {"good", "learning"} and looks.untested is not None:
        state, reason = "unknown", looks.untested
    return SeriesView(
        scorer=tested.scorer,
        segment=tested.segment,
        state=state,
        reason=reason,
        rate=tested.rate,
        lower=tested.lower,
        upper=tested.upper,
        target_or_reference=tested.reference,
        verdicts=tested.verdicts,
        detectable_drop=tested.detectable_drop,
        evidence=tested.evidence,
        shadow=tested.shadow,
        anew_ms=tested.anew_ms,
    )


def _state(
    scorer: AskedScorer, rate: PassRate | None, alert: AlertRow | None, untested: str | None, min_verdicts: int
) -> tuple[State, str | None]:
    """Good only where everything speaks for it: a target, enough verdicts, a rate above it, and a look at it."""
    if alert is not None and alert.state == "firing":
        return "regressed", None
    reason = _doubt(scorer, rate, alert, min_verdicts) or untested
    return ("good", None) if reason is None else ("unknown", reason)


def _doubt(scorer: AskedScorer, rate: PassRate | None, alert: AlertRow | None, min_verdicts: int) -> str | None:
    """Why it cannot be said that a series is good."""
    if scorer.shadow:
        return "in shadow: it is scored and alerts nobody"
    if rate is None or rate.verdicts == 0:
        return "no verdict in the last day"
    if scorer.target is None:
        return "no target is set: nothing says what is good"
    if rate.verdicts < min_verdicts:
        return f"{counted(rate.verdicts, 'verdict')}, {min_verdicts} are needed"
    if alert is not None:
        return "below its target, and not yet for long enough to alert"
    below = rate.rate < scorer.target
    return f"below its target of {percent(scorer.target)} over the day, though not lately" if below else None


def _with_hours(series: SeriesView, hours: Sequence[HourRow | None]) -> SeriesView:
    return replace(
        series,
        spark=tuple(None if hour is None else hour.rate for hour in hours),
        errors=sum(hour.errors for hour in hours if hour is not None),
    )


def _scorer_view(series: Sequence[SeriesView]) -> ScorerView:
    whole = next((each for each in series if each.segment == "all"), series[0])
    segments = sorted((each for each in series if each is not whole), key=_by_urgency)
    return ScorerView(
        whole=whole,
        segments=tuple(segments[:SEGMENTS_SHOWN]),
        hidden=max(0, len(segments) - SEGMENTS_SHOWN),
    )


def _by_urgency(series: SeriesView) -> tuple[int, int, str]:
    # A regression first; of the others those that rest on the most verdicts tell the most.
    return (series.state != "regressed", -series.verdicts, series.segment)


def _missing(series: SeriesView) -> float:
    """How far a series is below what it is held against."""
    if series.rate is None or series.target_or_reference is None:
        return 0.0
    return series.target_or_reference - series.rate
