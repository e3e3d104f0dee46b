"""What the lease holder alone does: alerts, the dataset's bounds, and giving way to another holder."""

from dataclasses import replace
from datetime import timedelta

import structlog

from monitor.dataset.settings import DatasetSettings
from monitor.replica.duty import Duty
from monitor.replica.leadership import Leadership

LOG = structlog.get_logger()


def _leader(stage, ledger, holder):
    return Leadership(ledger.lease, holder, timedelta(seconds=30), stage.clock, LOG)


def test_the_dataset_is_bounded_and_mlflow_follows(stage):
    """Ten distinct inputs, three rows: MLflow's dataset has the ledger's three, also after more have come."""
    stage.dataset_settings = DatasetSettings(name="production", max_rows=3)
    for number in range(10):
        stage.event(f"event {number}")
    stage.run()
    ledger = stage.open()
    token = _leader(stage, ledger, "one").seek()
    curation = stage.effects(ledger).curation
    curation.curate(token)
    _same_rows(stage, ledger)
    for number in range(10, 30):
        stage.event(f"event {number}")
    stage.run()
    curation.curate(token)
    _same_rows(stage, ledger)
    assert ledger.members.unreconciled("production", 10) == []


def _same_rows(stage, ledger):
    rows = {row.inputs_digest for row in ledger.members.active("production")}
    assert len(rows) == 3
    assert sorted(row.inputs["question"] for row in stage.dataset.rows()) == sorted(
        row.inputs["question"] for row in ledger.members.active("production")
    )


def test_a_store_that_does_not_know_the_inputs_again_is_asked_once(stage):
    """It gives no id for a row: the row counts as reconciled instead of being merged for ever."""
    stage.dataset_settings = DatasetSettings(name="production")
    stage.event("one")
    stage.run()
    ledger = stage.open()
    forgetful = type("Forgetful", (type(stage.dataset),), {"merge": lambda _self, _members: {}})()
    curation = replace(stage.effects(ledger).curation, store=forgetful)
    curation.curate(_leader(stage, ledger, "one").seek())
    assert ledger.members.unreconciled("production", 10) == []


def test_only_the_lease_holder_does_its_duties_and_an_old_one_publishes_nothing(stage):
    """The second replica waits; when the lease has run out it takes over, and the first one's token is refused."""
    stage.dataset_settings = DatasetSettings(name="production", max_rows=1)
    for number in range(3):
        stage.event(f"event {number}")
    stage.run()
    ledger, other = stage.open(), stage.open()
    first, second = _leader(stage, ledger, "one"), _leader(stage, other, "two")
    first.seek()
    second.seek()
    done = []
    duties = [_duty(stage, each, name, done) for each, name in ((first, "one"), (second, "two"))]
    for duty in duties:
        duty()
    assert done == ["one"]
    stage.clock.advance(timedelta(seconds=31))
    second.seek()
    curation = stage.effects(ledger).curation
    late = replace(duties[0], name="dataset", work=curation.curate)
    late()
    assert ledger.members.count("production") == 3
    assert "dataset" not in {row.job for row in ledger.jobs.all()}
    first.seek()
    for duty in duties:
        duty()
    assert done == ["one", "two"]


def _duty(stage, leadership, name, done):
    return Duty(
        name=f"job {name}",
        work=lambda _token: done.append(name),
        leadership=leadership,
        jobs=stage.ledgers[0].jobs,
        clock=stage.clock,
        log=LOG,
    )
