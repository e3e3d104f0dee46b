"""All applications on one screen, the worst first."""

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.dashboards.panels import (
    BAD_ABOVE_0,
    BAD_BELOW_0,
    BAD_BELOW_1,
    DOLLARS,
    GREEN,
    ORANGE,
    PLAIN,
    RED,
    SECONDS,
    SHARE,
    Column,
    bars,
    figures,
    line,
    lines,
    link_to_overview,
    now,
    number,
    states,
)
from deploy.dashboards.queries import ALL, SCORER, Metrics
from deploy.dashboards.variables import any_of, datasource

UID: Final = "tracewatch-fleet"
FLEET: Final = Metrics('app=~"$app"')
_WORST: Final = {0.0: ("quiet", GREEN), 1.0: ("ticket", ORANGE), 2.0: ("page", RED)}
_DELIVERY: Final = {0.0: ("does not work", RED), 1.0: ("works", GREEN)}
_SHOWN: Final = 20


def fleet() -> Dashboard:
    """The dashboard of all applications."""
    board = (
        Dashboard("Tracewatch: all applications")
        .uid(UID)
        .description("Every application that Tracewatch watches, the worst first.")
        .tags(["tracewatch"])
        .readonly()
        .time("now-24h", "now")
        .refresh("1m")
        .timezone("browser")
        .with_variable(datasource())
        .with_variable(any_of("app", "Application", "tracewatch_build_info"))
        .with_variable(any_of("scorer", "Scorer", FLEET.selector("verdicts_total")))
    )
    for panel in (*_at_a_glance(), _applications(), *_quality(), *_running()):
        board.with_panel(panel)
    return board


def _or_0(expression: str) -> str:
    """The value for each application that is watched, 0 where it has none, as one operand."""
    return f"({expression} or 0 * {FLEET.value('build_info', by='app')})"


def _firing(severity: str) -> str:
    alerts = FLEET.value("alert_firing", f'severity="{severity}"', by="app, kind, scorer, segment")
    # Processes of a fleet watch different applications: of one, each alert counts once.
    return _or_0(f"count by (app) ({alerts})")


def _margins() -> str:
    rate = FLEET.value("pass_rate", ALL, SCORER, by="app, scorer")
    return f"{rate} - on (app, scorer) {FLEET.value('target', SCORER, by='app, scorer')}"


def _at_a_glance() -> list[Builder[Panel]]:
    watched = f"count({FLEET.value('build_info', by='app')})"
    paging = f"count({_firing('page')} > 0) or vector(0)"
    below = f"count(({_margins()}) < 0) or vector(0)"
    waiting = f"count(min by (app) ({FLEET.selector('dependency_up')}) == 0) or vector(0)"
    return [
        number("Applications watched", "That have a running process.", PLAIN, watched, ((None, GREEN),), width=6),
        number("Applications with a page", "At least one alert of severity page.", PLAIN, paging, BAD_ABOVE_0, width=6),
        number("Scorers below their target", "Over all applications.", PLAIN, below, BAD_ABOVE_0, width=6),
        number("Applications that wait", "For a service that is away.", PLAIN, waiting, BAD_ABOVE_0, width=6),
    ]


def _applications() -> Builder[Panel]:
    lag, pace = FLEET.value("consumer_lag", by="app"), FLEET.rate("events_consumed_total", by="app")
    by_pot = "app, pot, unit"
    used = f"{FLEET.value('spend_today', by=by_pot)} / {FLEET.value('spend_limit', by=by_pot)}"
    letters = FLEET.increase("events_dead_lettered_total", by="app", window="1h")
    unaccounted = f"max by (app) (abs({FLEET.value('events_unaccounted', by='app, scorer')}))"
    columns = (
        Column(heading="Pages", expression=_firing("page"), steps=BAD_ABOVE_0),
        Column(heading="Tickets", expression=_firing("ticket"), steps=((None, GREEN), (1, ORANGE))),
        Column(
            heading="Furthest from target",
            expression=f"min by (app) ({_margins()})",
            unit=SHARE,
            steps=BAD_BELOW_0,
        ),
        Column(
            heading="All services reached",
            expression=f"min by (app) ({FLEET.selector('dependency_up')})",
            names={0.0: ("no", RED), 1.0: ("yes", GREEN)},
        ),
        Column(heading="Delivery", expression=FLEET.value("delivery_working", by="app"), names=_DELIVERY),
        Column(
            heading="Behind by",
            expression=f"{lag} / {pace}",
            unit=SECONDS,
            steps=((None, GREEN), (300, ORANGE), (900, RED)),
        ),
        Column(heading="Dead letters an hour", expression=letters, steps=((None, GREEN), (1, ORANGE))),
        Column(heading="Not accounted for", expression=unaccounted, steps=BAD_ABOVE_0),
        Column(heading="Verdicts owed", expression=FLEET.value("debt_verdicts", by="app")),
        Column(
            heading="Spent of the day's limit",
            expression=f"max by (app) ({used})",
            unit=SHARE,
            steps=((None, GREEN), (0.8, ORANGE), (1, RED)),
        ),
        Column(heading="Dataset rows", expression=FLEET.value("dataset_rows", by="app")),
        Column(
            heading="Processes",
            expression=f"count by (app) ({FLEET.selector('build_info')})",
            steps=BAD_BELOW_1,
        ),
    )
    table = figures(
        "Applications, the worst first",
        "By pages, then by how far the worst scorer is below its target. A name leads to the application.",
        {"app": "Application"},
        columns,
        worst_first=(("Pages", True), ("Furthest from target", False)),
    )
    return link_to_overview(table, "Application").height(14)


def _quality() -> list[Builder[Panel]]:
    worst = now(f"sort(bottomk({_SHOWN}, {_margins()}))", "{{app}}: {{scorer}}")
    pages, tickets = _firing("page"), _firing("ticket")
    severity = line(f"2 * ({pages} > bool 0) > 0 or ({tickets} > bool 0)", "{{app}}")
    return [
        bars(
            f"The {_SHOWN} scorers furthest below their targets",
            "Pass rate minus target, the worst on top.",
            SHARE,
            worst,
            BAD_BELOW_0,
            width=12,
        ).height(12),
        states("Alerts over time", "The worst severity that fired.", severity, _WORST, width=12).height(12),
        lines(
            "Furthest from target",
            "Of each application: the pass rate minus the target of its worst scorer.",
            SHARE,
            line(f"min by (app) ({_margins()})", "{{app}}"),
            width=12,
        ),
    ]


def _running() -> list[Builder[Panel]]:
    cost = FLEET.increase("judge_cost_dollars_total", SCORER, by="app", window="1d")
    return [
        lines(
            "Cost of judging a day",
            "Of the last 24 hours; nothing is shown for a model without a configured price.",
            DOLLARS,
            line(cost, "{{app}}"),
            width=12,
        )
    ]
