"""Panels on the daemon itself: the stream, the accounting, its processes."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.dashboards.panels import (
    A_SECOND,
    BAD_ABOVE_0,
    GREEN,
    PLAIN,
    RED,
    SECONDS,
    Column,
    figures,
    line,
    lines,
    number,
    states,
)
from deploy.dashboards.queries import SCORER, Metrics

_REACHED = {0.0: ("waiting for it", RED), 1.0: ("reached", GREEN)}


def stream(app: Metrics) -> list[Builder[Panel]]:
    """Whether everything is read, and what became of it."""
    behind = f"{app.value('consumer_lag', by='topic')} / {app.rate('events_consumed_total', by='topic')}"
    letters = app.increase("events_dead_lettered_total", by="reason", window="15m")
    missing = f"sum({app.value('events_unaccounted', SCORER, by='scorer')})"
    lost = f"sum({app.value('events_lost_to_retention', by='topic')})"
    return [
        lines(
            "Events read",
            "A second, redelivered ones included.",
            A_SECOND,
            line(app.rate("events_consumed_total", by="topic"), "{{topic}}"),
        ),
        lines(
            "Events that wait to be read",
            "By partition; all replicas together.",
            PLAIN,
            line(app.value("consumer_lag", by="topic, partition"), "{{topic}}[{{partition}}]"),
        ),
        lines("Behind by", "The same as time, at the present speed.", SECONDS, line(behind, "{{topic}}")),
        lines(
            "In hand",
            "Events read and not past the watermark yet, of each process.",
            PLAIN,
            line(app.selector("events_in_flight"), "{{instance}}"),
        ),
        lines(
            "Dead letters",
            "Events of the last 15 minutes that were no trace events, by what is wrong with them.",
            PLAIN,
            line(letters, "{{reason}}"),
        ),
        lines(
            "What became of the events",
            "Since the ledger began, for each scorer.",
            PLAIN,
            line(app.value("events_accounted", SCORER, by="scorer, outcome"), "{{scorer}} {{outcome}}"),
        ),
        number(
            "Not accounted for",
            "Anything but 0 is a defect.",
            PLAIN,
            missing,
            ((None, RED), (0, GREEN), (1e-9, RED)),
            width=12,
        ),
        number(
            "Lost to retention",
            "Events that the stream's retention deleted before they were read, since the ledger began.",
            PLAIN,
            lost,
            BAD_ABOVE_0,
            width=12,
        ),
    ]


def processes(app: Metrics) -> list[Builder[Panel]]:
    """Which processes run, and whether they reach what they need."""
    reached = line(f"min by (dependency) ({app.selector('dependency_up')})", "{{dependency}}")
    running = Column(heading="Processes", expression=f"count by (version, config) ({app.selector('build_info')})")
    return [
        states("Services", "Red while at least one process waits for it.", reached, _REACHED).height(10),
        figures(
            "Releases",
            "Processes by release of Tracewatch and digest of the configuration: more than one row is a rollout.",
            {"version": "Release", "config": "Configuration"},
            [running],
        ).height(5),
    ]
