"""Panels on evaluations: candidates against the baseline, the dataset, and what runs by the clock."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.dashboards.panels import (
    BAD_ABOVE_0,
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
)
from deploy.dashboards.queries import SCORER, VERSION, Metrics

_JUDGED = {0.0: ("not worse", GREEN), 1.0: ("regressed", RED)}


def candidates(app: Metrics) -> list[Builder[Panel]]:
    """What the latest evaluation says of each version."""
    by = "version, scorer"
    fires = app.value("regression", 'kind="candidate"', SCORER, by="scorer, segment")
    named = f'label_replace({fires}, "version", "$1", "segment", "version=(.*)")'
    columns = (
        Column(heading="State", expression=f"max by ({by}) ({named})", names=_JUDGED),
        Column(heading="Pass rate", expression=app.value("candidate_pass_rate", SCORER, VERSION, by=by), unit=SHARE),
        Column(
            heading="Against the baseline",
            expression=app.value("candidate_difference", SCORER, VERSION, by=by),
            unit=SHARE,
            steps=((None, RED), (-0.05, ORANGE), (0, GREEN)),
        ),
        Column(
            heading="At least", expression=app.value("candidate_difference_lower", SCORER, VERSION, by=by), unit=SHARE
        ),
        Column(
            heading="At most", expression=app.value("candidate_difference_upper", SCORER, VERSION, by=by), unit=SHARE
        ),
    )
    return [
        figures(
            "Latest evaluation",
            "Pass rate of each version, and its difference from the baseline's over the same rows with the interval. "
            "The baseline itself has no difference.",
            {"version": "Version", "scorer": "Scorer"},
            columns,
            worst_first=(("State", True), ("Against the baseline", False)),
            width=14,
        ),
        lines(
            "Difference from the baseline",
            "Of each evaluation, with its interval in thin lines; below 0 the candidate passes less often.",
            SHARE,
            line(app.value("candidate_difference", SCORER, VERSION, by=by), "{{version}} {{scorer}}"),
            line(app.value("candidate_difference_lower", SCORER, VERSION, by=by), "{{version}} {{scorer}} min"),
            line(app.value("candidate_difference_upper", SCORER, VERSION, by=by), "{{version}} {{scorer}} max"),
            width=10,
        ).height(10),
    ]


def dataset(app: Metrics) -> list[Builder[Panel]]:
    """The evaluation dataset, and the jobs that keep it and run evaluations."""
    # A target's own label `job` is called exported_job unless the scrape honours labels.
    jobs = "job, exported_job"
    since = f"time() - {app.value('job_last_success_timestamp_seconds', by=jobs)}"
    overdue = f"time() - {app.value('job_deadline_timestamp_seconds', by=jobs)}"
    columns = (
        Column(heading="Last success", expression=since, unit=SECONDS),
        Column(heading="Overdue by", expression=overdue, unit=SECONDS, steps=BAD_ABOVE_0),
    )
    return [
        lines(
            "Rows of the dataset",
            "Bounded by dataset.max_rows; a flat line below it while traffic comes is worth a look.",
            PLAIN,
            line(app.value("dataset_rows", by="dataset"), "{{dataset}}"),
            width=8,
        ).height(10),
        figures(
            "Jobs",
            "How long ago each last succeeded, and how long after its deadline it is: negative is in time.",
            {"job": "Job", "exported_job": "Job as exported"},
            columns,
            worst_first=(("Overdue by", True),),
            width=8,
        ),
    ]
