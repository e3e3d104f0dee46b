"""One application: is it good, since when not, and can what is said be trusted?"""

from typing import Final

from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.builders.common import GraphThresholdsStyleConfig
from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, Row
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import GraphTresholdsStyleMode
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardLinkType,
    DynamicConfigValue,
    Panel,
)

from deploy.dashboards import daemon, evaluation, judges
from deploy.dashboards.marks import Mark
from deploy.dashboards.panels import (
    BAD_ABOVE_0,
    BAD_BELOW_0,
    BAD_BELOW_1,
    GREEN,
    ORANGE,
    PLAIN,
    RED,
    SECONDS,
    SHARE,
    Column,
    figures,
    line,
    lines,
    number,
    states,
    thresholds,
)
from deploy.dashboards.queries import ALL, ANSWERS, SCORER, SEGMENT, Metrics
from deploy.dashboards.variables import any_of, datasource, values_of

UID: Final = "tracewatch-overview"
APP: Final = Metrics('app="$app"')
_REGRESSED: Final = {0.0: ("good", GREEN), 1.0: ("regressed", RED)}


def overview() -> Dashboard:
    """The dashboard of one application."""
    board = (
        Dashboard("Tracewatch: one application")
        .uid(UID)
        .description("The quality of one application in production, its candidates, and the daemon that watches it.")
        .tags(["tracewatch"])
        .readonly()
        .time("now-24h", "now")
        .refresh("1m")
        .timezone("browser")
        .link(
            DashboardLink("All applications")
            .type(DashboardLinkType.LINK)
            .url("/d/tracewatch-fleet")
            .keep_time(keep_time=True)
        )
        .with_variable(datasource())
        .with_variable(values_of("app", "Application", "tracewatch_build_info"))
        .with_variable(any_of("scorer", "Scorer", APP.selector("verdicts_total")))
        .with_variable(any_of("segment", "Segment", APP.selector("pass_rate"), chosen="all"))
        .with_variable(any_of("version", "Version", APP.selector("candidate_pass_rate")))
    )
    for mark in _marks():
        board.annotation(mark)
    for panel in _at_a_glance():
        board.with_panel(panel)
    for title, panels in _rows().items():
        board.with_row(Row(title))
        for panel in panels:
            board.with_panel(panel)
    return board


def _rows() -> dict[str, list[Builder[Panel]]]:
    return {
        "Quality in production": _quality(),
        "Candidates against the baseline, on the same rows": evaluation.candidates(APP),
        "Judges: do they answer, how fast, what do they cost?": judges.panels(APP),
        "Sampling, budget and spend": judges.spend(APP),
        "Stream: is everything read and accounted for?": daemon.stream(APP),
        "Dataset, schedule and processes": [*evaluation.dataset(APP), *daemon.processes(APP)],
    }


def _marks() -> list[Builder[AnnotationQuery]]:
    production = APP.value("regression", 'kind="production"', SCORER, SEGMENT)
    candidate = APP.value("regression", 'kind="candidate"', SCORER)
    return [
        Mark("Regressions", f"{production} == 1", RED, "{{scorer}} regressed ({{segment}})"),
        Mark("Candidates", f"{candidate} == 1", ORANGE, "{{segment}} regressed on {{scorer}}"),
    ]


def _margin(by: str, *matchers: str) -> str:
    """How far the pass rate is above its target, negative below it."""
    rate = APP.value("pass_rate", *matchers, by=by)
    return f"{rate} - on (app, scorer) group_left () {APP.value('target', SCORER, by='app, scorer')}"


def _at_a_glance() -> list[Builder[Panel]]:
    alerts = f"count({APP.value('alert_firing')}) or vector(0)"
    margin = f"min({_margin('app, scorer', ALL, SCORER)})"
    delivery = APP.value("delivery_working", by="app")
    ready = f"min({APP.selector('dependency_up')})"
    behind = APP.value("consumer_lag", by="app")
    pace = APP.rate("events_consumed_total", by="app")
    owed = APP.value("debt_verdicts", by="app")
    return [
        number("Alerts firing", "Of any kind and severity.", PLAIN, alerts, BAD_ABOVE_0),
        number(
            "Furthest from its target",
            "The scorer that is lowest against its target: negative is below it.",
            SHARE,
            margin,
            BAD_BELOW_0,
            none="no target",
        ),
        number(
            "Delivery of alerts",
            "1 while pages on quality reach whom they rest on (the Alertmanagers, or where there is none all other "
            "receivers), or alerts are only observed; 0 while one of these fails, or where nobody gets such pages.",
            PLAIN,
            delivery,
            BAD_BELOW_1,
            none="not known",
        ),
        number("Everything reached", "0 while a process waits for a service.", PLAIN, ready, BAD_BELOW_1),
        number(
            "Behind by",
            "How long the events that wait take at the present speed.",
            SECONDS,
            f"{behind} / {pace}",
            ((None, GREEN), (300, ORANGE), (900, RED)),
        ),
        number(
            "Verdicts owed",
            "Parked, or asked for by the events that wait if those are like the events before.",
            PLAIN,
            owed,
            ((None, GREEN), (1, ORANGE)),
        ),
    ]


def _pass_rates() -> timeseries.Panel:
    """One panel a scorer: the pass rate of each chosen segment between its bounds, and the target."""
    target = APP.value("target", SCORER, by="scorer")
    panel = lines(
        "$scorer",
        "Share of answers that pass, weighted by sampling, with its interval (between the thin lines) and its target "
        "(dashed). Marks: when a regression fired.",
        SHARE,
        line(APP.value("pass_rate", SCORER, SEGMENT, by="segment"), "{{segment}}"),
        line(APP.value("pass_rate_lower", SCORER, SEGMENT, by="segment"), "{{segment}} at least"),
        line(APP.value("pass_rate_upper", SCORER, SEGMENT, by="segment"), "{{segment}} at most"),
        line(target, "target"),
        # Grafana shares the row out among the scorers.
        width=24,
    )
    thin = [
        DynamicConfigValue(id_val="custom.lineWidth", value=0.5),
        DynamicConfigValue(id_val="custom.hideFrom", value={"legend": True, "tooltip": False, "viz": False}),
    ]
    filled = [
        DynamicConfigValue(id_val="custom.fillBelowTo", value="all at least"),
        DynamicConfigValue(id_val="custom.fillOpacity", value=12),
    ]
    dashed = [
        DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 6]}),
        DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": RED}),
    ]
    return (
        panel.max(1)
        .repeat("scorer")
        .repeat_direction("h")
        .override_by_regexp("/ at (least|most)$/", thin)
        .override_by_name("all at most", filled)
        .override_by_name("target", dashed)
    )


def _series() -> Builder[Panel]:
    by = "scorer, segment"
    judged = APP.increase("verdicts_total", SCORER, SEGMENT, ANSWERS, by=by, window="$__range")
    regression = APP.value("regression", 'kind="production"', SCORER, SEGMENT, by=by)
    margin = f"max by ({by}) ({_margin('app, scorer, segment', SCORER, SEGMENT)})"
    columns = (
        Column(heading="State", expression=regression, names=_REGRESSED),
        Column(heading="Pass rate", expression=APP.value("pass_rate", SCORER, SEGMENT, by=by), unit=SHARE),
        Column(heading="At least", expression=APP.value("pass_rate_lower", SCORER, SEGMENT, by=by), unit=SHARE),
        Column(heading="At most", expression=APP.value("pass_rate_upper", SCORER, SEGMENT, by=by), unit=SHARE),
        Column(heading="Above target", expression=margin, unit=SHARE, steps=BAD_BELOW_0),
        Column(
            heading="Evidence of a fall",
            expression=APP.value("regression_evidence", SCORER, SEGMENT, by=by),
            steps=((None, GREEN), (0.5, ORANGE), (1, RED)),
        ),
        Column(
            heading="Smallest fall found in a day",
            expression=APP.value("detectable_drop", SCORER, SEGMENT, by=by),
            unit=SHARE,
        ),
        Column(heading="Verdicts in this time", expression=judged),
    )
    return figures(
        "Every series",
        "One row for each scorer and segment, the regressed ones first. A fall smaller than the last but one column "
        "says would not be noticed: too few verdicts.",
        {"scorer": "Scorer", "segment": "Segment"},
        columns,
        worst_first=(("State", True), ("Above target", False)),
    )


def _quality() -> list[Builder[Panel]]:
    evidence = lines(
        "Evidence of a regression",
        "Grows while verdicts are worse than the reference; the alarm is at 1, and stays there while it fires.",
        PLAIN,
        line(APP.value("regression_evidence", SCORER, SEGMENT, by="scorer, segment"), "{{scorer}} {{segment}}"),
        width=12,
    )
    evidence.thresholds(thresholds(((None, "transparent"), (1, RED)))).thresholds_style(
        GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED)
    )
    regressions = line(
        APP.value("regression", 'kind="production"', SCORER, SEGMENT, by="scorer, segment"), "{{scorer}} {{segment}}"
    )
    return [
        _pass_rates(),
        _series(),
        states("State of each series", "Red while an alert fires.", regressions, _REGRESSED, width=12),
        evidence,
    ]
