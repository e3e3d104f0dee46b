"""Panels on judging: verdicts, errors, time, tokens, money, and what sampling and budget leave."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.dashboards.panels import (
    A_SECOND,
    DOLLARS,
    GREEN,
    ORANGE,
    PLAIN,
    RED,
    SECONDS,
    SHARE,
    bars,
    heat,
    line,
    lines,
    now,
    states,
)
from deploy.dashboards.queries import ALL, SCORER, Metrics

_CIRCUIT = {0.0: ("closed", GREEN), 0.5: ("probing", ORANGE), 1.0: ("open: no calls", RED)}


def panels(app: Metrics) -> list[Builder[Panel]]:
    """Whether the judges answer, how fast, and what they cost."""
    return [*_verdicts(app), *_people(app), *_endpoint(app), *_time(app), *_cost(app)]


def _verdicts(app: Metrics) -> list[Builder[Panel]]:
    errors = app.rate("verdicts_total", ALL, SCORER, 'verdict="error"', by="scorer")
    everything = app.rate("verdicts_total", ALL, SCORER, by="scorer")
    weighted = app.rate("verdicts_weighted_total", ALL, SCORER, by="scorer, verdict")
    return [
        lines(
            "Verdicts",
            "A second, by verdict: pass, fail, or error, which is left out of pass rates.",
            A_SECOND,
            line(app.rate("verdicts_total", ALL, SCORER, by="scorer, verdict"), "{{scorer}} {{verdict}}"),
        ),
        lines(
            "Share of error verdicts",
            "A scorer that fails on many traces says little about the rest.",
            SHARE,
            line(f"{errors} / {everything}", "{{scorer}}"),
        ),
        lines(
            "Answers that the verdicts stand for",
            "A second: each verdict weighted by the inverse of its inclusion probability.",
            A_SECOND,
            line(weighted, "{{scorer}} {{verdict}}"),
        ),
    ]


def _people(app: Metrics) -> list[Builder[Panel]]:
    return [
        lines(
            "Agreement with people",
            "Share of labels, on traces that were drawn at random, that say what the scorer said.",
            SHARE,
            line(app.value("judge_agreement", SCORER, by="scorer"), "{{scorer}}"),
        ),
        lines(
            "Pass rate as people would have given it",
            "Corrected by their labels, with its 95 % interval.",
            SHARE,
            line(app.value("corrected_pass_rate", SCORER, by="scorer"), "{{scorer}}"),
            line(app.value("corrected_pass_rate_lower", SCORER, by="scorer"), "{{scorer}} at least"),
            line(app.value("corrected_pass_rate_upper", SCORER, by="scorer"), "{{scorer}} at most"),
        ),
    ]


def _endpoint(app: Metrics) -> list[Builder[Panel]]:
    circuit = line(f"max by (endpoint) ({app.selector('judge_circuit_open')})", "{{endpoint}}")
    return [
        states(
            "The judge's endpoint",
            "Open: it failed for all, and no call is made for a while. The worst of all processes.",
            circuit,
            _CIRCUIT,
        ),
        lines(
            "Calls allowed at once",
            "Over all processes; it falls while the endpoint says that it is overloaded.",
            PLAIN,
            line(app.value("judge_concurrency_allowed", by="endpoint"), "{{endpoint}}"),
        ),
    ]


def _time(app: Metrics) -> list[Builder[Panel]]:
    name = "scorer_duration_seconds"
    return [
        lines(
            "Time a scorer takes",
            "For one trace, the wait for a free place at the judge included: median, 95th and 99th percentile.",
            SECONDS,
            line(app.quantile(0.5, name, SCORER, by="scorer"), "{{scorer}} p50"),
            line(app.quantile(0.95, name, SCORER, by="scorer"), "{{scorer}} p95"),
            line(app.quantile(0.99, name, SCORER, by="scorer"), "{{scorer}} p99"),
        ),
        heat("All scorers' times", "How many verdicts took how long.", SECONDS, app.buckets(name, SCORER)),
    ]


def _cost(app: Metrics) -> list[Builder[Panel]]:
    cost = app.increase("judge_cost_dollars_total", SCORER, by="scorer", window="1h")
    return [
        lines(
            "Tokens",
            "A second, read (input) and written (output) by the judge.",
            A_SECOND,
            line(app.rate("judge_tokens_total", SCORER, by="scorer, direction"), "{{scorer}} {{direction}}"),
        ),
        lines(
            "Cost of judging an hour",
            "Of the last hour, by scorer; nothing is shown for a model without a configured price.",
            DOLLARS,
            line(cost, "{{scorer}}"),
        ),
    ]


def spend(app: Metrics) -> list[Builder[Panel]]:
    """What is judged of the traffic, and what the budget and the day's spend leave for later."""
    by = "pot, unit"
    used = f"{app.value('spend_today', by=by)} / {app.value('spend_limit', by=by)}"
    kept = app.rate("traces_sampled_total", 'decision="kept"', by="app")
    decided = app.rate("traces_sampled_total", by="app")
    return [
        lines(
            "Sampling decisions",
            "A second, one for each scorer and the dataset: by what was decided, and why.",
            A_SECOND,
            line(app.rate("traces_sampled_total", by="decision, reason"), "{{decision}}: {{reason}}"),
        ),
        lines("Share kept", "Of all decisions.", SHARE, line(f"{kept} / {decided}", "kept")),
        bars(
            "Spent of the day's limit",
            "Since midnight UTC, with what is set aside for calls under way. At 100 % work is parked, not dropped.",
            SHARE,
            now(used, "{{pot}} ({{unit}})"),
            ((None, GREEN), (0.8, ORANGE), (1, RED)),
        )
        .min(0)
        .max(1),
        lines(
            "Verdicts owed",
            "Parked, or asked for by the events that wait if those are like the events before.",
            PLAIN,
            line(app.value("debt_verdicts", by="app"), "verdicts"),
        ),
        lines(
            "Time to work them off",
            "At the pace of the last 15 minutes; nothing is shown while nothing is judged.",
            SECONDS,
            line(app.value("debt_seconds", by="app"), "time"),
        ),
        lines(
            "What they cost",
            "At today's price of a call.",
            DOLLARS,
            line(app.value("debt_dollars", by="app"), "dollars"),
        ),
    ]
