"""Evaluations whose rows may stop early: the order, the rule, what is said, and what stands afterwards."""

import random
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alerting.candidates import candidate_findings
from monitor.evaluation.comparison import compare_runs
from monitor.evaluation.comparison_json import comparison_json
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun, RowVerdict, RunPlan
from monitor.evaluation.evaluator import EvaluationRequest, EvaluationRow
from monitor.evaluation.memory_evaluator import MemoryEvaluator
from monitor.evaluation.row_order import batches
from monitor.evaluation.settings import VersionSettings
from monitor.ledger.rows import ComparisonRow
from scorers.settings import JudgeSettings

DIGEST = "d" * 64


def rows(count: int) -> tuple[EvaluationRow, ...]:
    """Rows that are known by their number."""
    return tuple(EvaluationRow(inputs={"q": index}, record_id=f"record-{index}") for index in range(count))


def request(versions: str = "v1 v2", count: int = 100, **changes) -> EvaluationRequest:
    """An evaluation that may stop early, in batches of ten."""
    values = {
        "id": "e",
        "dataset": "production",
        "digest": DIGEST,
        "rows": rows(count),
        "baseline": "v1",
        "versions": {version: VersionSettings(function="a:b") for version in versions.split()},
        "scorers": (),
        "judge": JudgeSettings(),
        "early_stop": True,
        "batch_rows": 10,
    }
    return EvaluationRequest(**{**values, **changes})


@given(st.permutations(range(12)), st.integers(1, 13))
def test_the_order_is_random_and_the_same_however_rows_are_listed(listed, size):
    """Every row is in one batch; only the digest and the rows decide which."""
    known = rows(12)
    shuffled = [known[index] for index in listed]
    found = [[shuffled[index].record_id for index in batch] for batch in batches(shuffled, DIGEST, size)]
    assert found == [[known[index].record_id for index in batch] for batch in batches(known, DIGEST, size)]
    assert sorted(chain(*found)) == sorted(row.record_id for row in known)
    assert all(len(batch) == size for batch in found[:-1])


def test_another_dataset_has_another_order_and_none_is_the_given_one():
    """The digest is the seed."""
    orders = [list(chain(*batches(rows(50), digest, 10))) for digest in ("1" * 64, "2" * 64)]
    assert orders[0] != orders[1]
    assert list(range(50)) not in orders


def test_a_proved_regression_stops_both_versions_and_says_what_it_saved():
    """A candidate that always fails is decided after one batch, though another scorer is still open."""
    asked: list[str] = []

    def judge(_inputs, outputs) -> bool:
        asked.append(outputs)
        return outputs == "good"

    evaluator = MemoryEvaluator(
        {"v1": lambda _: "good", "v2": lambda _: "bad"}, {"fine": judge, "same": lambda *_: True}
    )
    value = evaluator.evaluate(request()).comparisons["v2"]
    metric, other = value["metrics"]
    assert (metric["verdict"], other["verdict"], value["regressed"]) == ("regressed", "inconclusive", True)
    assert (metric["evidence"] >= 40, metric["evidence_needed"]) == (True, 40)
    assert value["early_stop"] == {
        "stopped": True, "rows": 10, "planned": 100, "answers_saved": 180, "judge_calls_saved": 0,
        "decides": "evidence", "does_not_decide": ["p_value", "p_exact", "p_adjusted"],
    }  # fmt: skip
    assert len(asked) == 20
    assert "unpaired" not in value


def test_an_improvement_alone_stops_nothing_while_another_scorer_is_open():
    """It could still get worse somewhere: only a regression, or a verdict on every scorer, is an answer."""
    better = {"v1": lambda _: "bad", "v2": lambda _: "good"}
    judgements = {"fine": lambda _inputs, outputs: outputs == "good", "same": lambda *_: True}
    value = MemoryEvaluator(better, judgements).evaluate(request()).comparisons["v2"]
    assert [metric["verdict"] for metric in value["metrics"]] == ["improved", "equivalent"]
    assert value["early_stop"]["stopped"] is False
    assert value["dataset"]["rows"] == 100
    alone = MemoryEvaluator(better, {"fine": judgements["fine"]}).evaluate(request()).comparisons["v2"]
    assert alone["early_stop"]["stopped"] is True


def test_each_candidate_stops_for_itself_and_the_baseline_goes_on():
    """The one that is decided is not asked again; the rows that it never saw are not called removed."""
    applications = {"v1": lambda _: "good", "v2": lambda _: "bad", "v3": lambda _: "good"}
    evaluator = MemoryEvaluator(applications, {"fine": lambda _inputs, outputs: outputs == "good"})
    result = evaluator.evaluate(request("v1 v2 v3"))
    stopped, full = result.comparisons["v2"], result.comparisons["v3"]
    assert (stopped["dataset"]["rows"], stopped["early_stop"]["answers_saved"]) == (10, 90)
    assert (full["dataset"]["rows"], full["early_stop"]["stopped"]) == (100, False)
    assert "removed" not in stopped


def test_without_a_candidate_all_rows_are_run():
    """Nothing could be proved early."""
    seen = []
    MemoryEvaluator({"v1": lambda _: "good"}, {"fine": lambda *_: True}).evaluate(request("v1"), seen.append)
    assert max(event.done for event in seen) == 100


def run(version: str, labels: dict[int, str], **changes) -> EvaluatedRun:
    """A stored run of an evaluation that could stop early."""
    stored = tuple(
        EvaluatedRow(
            trace_id=f"tr-{index}",
            inputs={"q": index},
            outputs="",
            record_id=f"record-{index}",
            verdicts={"fine": RowVerdict(label=label)},
        )
        for index, label in labels.items()
    )
    plan = RunPlan(rows=100, repeats=2, early_stop=True, judges=3)
    values = {"version": version, "run_id": version, "rows": stored, "scorers": ("fine",), "digest": DIGEST}
    return EvaluatedRun(**{**values, "plan": plan, **changes})


def test_stored_runs_give_the_same_evidence_in_whatever_order_they_are_read():
    """The order of the bets follows from the rows, and the judge's calls that were saved from the plan."""
    labels = {index: "pass" if index % 3 else "fail" for index in range(20)}
    listed = list(range(20))
    values = []
    for seed in (1, 2):
        random.Random(seed).shuffle(listed)
        baseline = run("v1", dict.fromkeys(listed, "pass"))
        candidate = run("v2", {index: labels[index] for index in listed})
        values.append(comparison_json(compare_runs(baseline, candidate, margin=0.05)))
    assert values[0] == values[1]
    assert values[0]["early_stop"]["judge_calls_saved"] == 2 * 80 * 3 * 2
    assert values[0]["repeats"] == 2


def test_a_run_that_could_stop_early_is_never_decided_by_p():
    """Six of six changed rows are significant by mid-p for a fixed number of rows; the evidence says not yet."""
    baseline, candidate = run("v1", dict.fromkeys(range(6), "pass")), run("v2", dict.fromkeys(range(6), "fail"))
    (metric,) = comparison_json(compare_runs(baseline, candidate, margin=0.05))["metrics"]
    assert metric["p_adjusted"] < 0.05
    assert (metric["verdict"], metric["evidence"] < 20) == ("inconclusive", True)
    fixed = compare_runs(run("v1", dict.fromkeys(range(6), "pass"), plan=None), candidate, margin=0.05)
    assert fixed.metrics[0].result.verdict == "inconclusive"


@pytest.mark.parametrize(("count", "fewest"), [(6, 7), (7, None)])
def test_it_says_when_the_rows_could_not_have_decided(count, fewest):
    """The evidence asks for seven rows that all change the same way."""
    plan = RunPlan(rows=count, early_stop=True)
    runs = [run(version, dict.fromkeys(range(count), "pass"), plan=plan) for version in ("v1", "v2")]
    said = comparison_json(compare_runs(*runs, margin=0.05)).get("cannot_decide")
    assert said == (None if fewest is None else {"rows": count, "fewest_rows": fewest})


def test_a_candidates_alert_shows_the_evidence_that_decided():
    """Beside p, which did not; a comparison of a fixed number of rows has none."""
    proof = {}
    for early_stop in (True, False):
        evaluator = MemoryEvaluator({"v1": lambda _: True, "v2": lambda _: False}, {"fine": lambda _, outputs: outputs})
        comparison = evaluator.evaluate(request(early_stop=early_stop)).comparisons["v2"]
        row = ComparisonRow(evaluation_id="e", candidate="v2", finished_at_ms=1, comparison=comparison)
        (finding,) = candidate_findings([row], {"fine": "page"})
        assert finding.bad
        proof[early_stop] = finding.details
    assert proof[True]["evidence"] >= proof[True]["evidence_needed"] == 20
    assert "evidence" not in proof[False]
