"""What the metrics say of the group: jobs that never reported, above all."""

from collections.abc import Iterator
from typing import Any

import pytest

from monitor.config import Config
from monitor.daemon.duties import deadlines, planned_jobs
from monitor.figures import FigureReader
from monitor.ledger import Ledger, open_ledger
from tests.figure_readers import figure_reader

STARTED_S = 1_790_000_000.0
GRACE_S = 300.0
RECEIVER = {"name": "ops", "kind": "webhook", "url": "http://ops.example"}
VERSIONS = {name: {"url": f"http://{name}.example"} for name in ("v1", "v2")}


def configuration(**keys: Any) -> Config:
    scorers = [{"name": "short", "use": "AnswerLength", "max_length": 9}]
    return Config.model_validate({"app": "shop", "scorers": scorers, "alerts": {"receivers": [RECEIVER]}, **keys})


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A fresh ledger."""
    opened = open_ledger("sqlite://")
    yield opened
    opened.close()


def reader(config: Config, ledger: Ledger) -> FigureReader:
    jobs = {"deadline_s": deadlines(config, STARTED_S), "planned_jobs": planned_jobs(config)}
    return figure_reader(ledger, round(STARTED_S * 1000), **jobs)


def test_a_job_that_never_reported_is_overdue_in_time_and_not_at_once(ledger: Ledger) -> None:
    """It hung, or raised a defect, from its first run: its deadline counts from the daemon's start."""
    figures = reader(configuration(pipeline={"upkeep_every": "10s"}), ledger).read()
    for job in ("alerts", "delivery:ops", "parked", "publish", "feedback", "dataset"):
        assert figures.jobs[job].last_success_s is None
        assert figures.jobs[job].deadline_s == STARTED_S + 20 + GRACE_S
    assert figures.jobs["retention"].deadline_s == STARTED_S + 1200 + GRACE_S


def test_a_job_that_succeeded_counts_from_then(ledger: Ledger) -> None:
    """However long ago that was; a job that only failed counts from the start."""
    ledger.jobs.succeeded("alerts", round((STARTED_S - 3600) * 1000))
    ledger.jobs.failed("parked", round(STARTED_S * 1000), "no answer")
    figures = reader(configuration(pipeline={"upkeep_every": "10s"}), ledger).read()
    assert figures.jobs["alerts"].last_success_s == STARTED_S - 3600
    assert figures.jobs["alerts"].deadline_s == STARTED_S - 3600 + 20 + GRACE_S
    assert figures.jobs["parked"].deadline_s == STARTED_S + 20 + GRACE_S


def test_a_job_that_is_not_scheduled_has_no_deadline(ledger: Ledger) -> None:
    """Without a dataset nothing is curated or evaluated, though the ledger remembers that it once was."""
    evaluation = {"baseline": "v1", "versions": VERSIONS, "schedule": {"interval": "1h"}}
    with_dataset = configuration(evaluation=evaluation)
    assert {"dataset", "evaluation"} <= planned_jobs(with_dataset)
    assert reader(with_dataset, ledger).read().jobs["evaluation"].deadline_s == STARTED_S + 7200 + GRACE_S
    ledger.jobs.succeeded("dataset", 1_000)
    jobs = reader(configuration(dataset=None), ledger).read().jobs
    assert jobs["dataset"].deadline_s is None
    assert "evaluation" not in jobs
