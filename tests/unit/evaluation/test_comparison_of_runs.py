"""Pairing rows, counting, and what is said about them: values in, values out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evaluation.canonical import canonical_digest, rows_digest
from monitor.evaluation.comparison import compare_runs
from monitor.evaluation.comparison_json import comparison_json
from monitor.evaluation.errors import NoPairedRows
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun, RowVerdict, RunPlan, of_repeats
from monitor.evaluation.pairing import pair_rows

MARKUP = "<script>alert('x')</script>"
KEYS = {
    "scorer", "baseline", "candidate", "difference", "ci_low", "ci_high", "p_value", "p_exact", "p_adjusted",
    "pass_to_fail", "fail_to_pass", "n_paired", "errors", "verdict", "rows_needed",
}  # fmt: skip


def row(name: str, label: str | None, *, record: str | None = None, failure: str | None = None) -> EvaluatedRow:
    """A row whose one scorer, if it saw it, gave this label."""
    verdicts = {} if label is None else {"concise": RowVerdict(label=label, rationale=f"{MARKUP} {label}")}
    return EvaluatedRow(
        trace_id=f"tr-{name}-{label}", inputs={"q": name}, outputs={"a": MARKUP}, record_id=record,
        failure=failure, verdicts=verdicts,
    )  # fmt: skip


def run(version: str, rows: list[EvaluatedRow], **changes) -> EvaluatedRun:
    """A run of these rows on one dataset."""
    values = {"version": version, "run_id": f"run-{version}", "rows": tuple(rows), "scorers": ("concise",)}
    return EvaluatedRun(**{**values, "dataset": "production", "digest": "d" * 64, **changes})


def test_the_object_has_the_promised_keys_and_numbers():
    """`compare --json` prints these keys, and rates are those of the paired rows."""
    baseline = run("v1", [row("a", "pass"), row("b", "pass"), row("c", "fail"), row("d", "pass")])
    candidate = run("v2", [row("a", "fail"), row("b", "pass"), row("c", "pass"), row("d", "error")])
    value = comparison_json(compare_runs(baseline, candidate, margin=0.05))
    assert set(value) == {
        "dataset", "baseline", "candidate", "overall_difference", "metrics", "pass_to_fail", "fail_to_pass",
        "regressed", "cannot_decide",
    }  # fmt: skip
    assert value["cannot_decide"] == {"rows": 4, "fewest_rows": 5}
    (metric,) = value["metrics"]
    assert set(metric) == KEYS
    assert (metric["baseline"], metric["candidate"], metric["n_paired"]) == (
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        3,
    )
    assert metric["errors"] == {"baseline": 0, "candidate": 1}
    assert (metric["pass_to_fail"], metric["fail_to_pass"], metric["verdict"]) == (1, 1, "inconclusive")
    assert value["dataset"] == {"name": "production", "digest": "d" * 64, "rows": 4}
    assert value["candidate"] == {"version": "v2", "run_id": "run-v2", "overall": pytest.approx(2 / 3)}
    assert value["regressed"] is False
    (changed,) = value["pass_to_fail"]
    assert set(changed) == {"scorer", "inputs", "baseline", "candidate"}
    assert changed["inputs"] == {"q": "a"}
    assert changed["candidate"]["rationale"] == f"{MARKUP} fail"
    json.dumps(value, allow_nan=False)


def test_an_application_that_failed_is_a_failure_for_every_scorer():
    """A row without an answer was never judged, and still counts against its version."""
    baseline = run("v1", [row("a", "pass")])
    candidate = run("v2", [row("a", None, failure="raised: boo")])
    value = comparison_json(compare_runs(baseline, candidate, margin=0.05))
    assert (value["metrics"][0]["candidate"], value["metrics"][0]["pass_to_fail"]) == (0, 1)
    assert "raised: boo" in value["pass_to_fail"][0]["candidate"]["rationale"]


def test_record_ids_pair_before_inputs():
    """The same record pairs though its inputs were rewritten; rows without an id fall back to their inputs."""
    baseline = [row("a", "pass", record="1"), row("b", "pass"), row("c", "pass", record="3")]
    candidate = [row("c", "fail"), row("b", "fail"), row("changed", "fail", record="1")]
    pairs = [(first.inputs["q"], second.inputs["q"]) for first, second in pair_rows(baseline, candidate)]
    assert pairs == [("a", "changed"), ("b", "b"), ("c", "c")]


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_equal_inputs_pair_the_kth_with_the_kth(first, second):
    """Each row is used once, and every pairing that equal inputs allow is made."""
    left = [EvaluatedRow(trace_id=f"l{i}", inputs={"q": q}, outputs=None) for i, q in enumerate(first)]
    right = [EvaluatedRow(trace_id=f"r{i}", inputs={"q": q}, outputs=None) for i, q in enumerate(second)]
    pairs = pair_rows(left, right)
    assert len(pairs) == sum(min(first.count(q), second.count(q)) for q in "abc")
    for q in "abc":
        lefts = [a.trace_id for a, b in pairs if a.inputs == {"q": q}]
        rights = [b.trace_id for a, b in pairs if a.inputs == {"q": q}]
        assert lefts == [r.trace_id for r in left if r.inputs == {"q": q}][: len(lefts)]
        assert rights == [r.trace_id for r in right if r.inputs == {"q": q}][: len(rights)]


def test_unpaired_rows_are_counted_and_left_out():
    """A row that only one version has seen changes no rate."""
    comparison = compare_runs(
        run("v1", [row("a", "pass"), row("x", "fail")]), run("v2", [row("a", "pass")]), margin=0.05
    )
    value = comparison_json(comparison)
    assert value["unpaired"] == {"baseline": 1, "candidate": 0}
    assert value["metrics"][0]["baseline"] == 1


def test_runs_without_a_common_row_cannot_be_compared():
    """Nothing in common is an error of its own kind."""
    with pytest.raises(NoPairedRows, match="no row in common"):
        compare_runs(run("v1", [row("a", "pass")]), run("v2", [row("b", "pass")]), margin=0.05)


def test_other_scorer_versions_prove_nothing_and_say_so():
    """Nine rows worse out of nine, by another definition of the scorer."""
    baseline = run("v1", [row(str(i), "pass") for i in range(9)], scorer_versions={"concise": "aaa"})
    candidate = run("v2", [row(str(i), "fail") for i in range(9)], scorer_versions={"concise": "bbb"})
    (metric,) = comparison_json(compare_runs(baseline, candidate, margin=0.05))["metrics"]
    assert metric["verdict"] == "inconclusive"
    assert metric["p_adjusted"] is None
    assert "aaa and bbb" in metric["note"]


def test_a_proved_regression_is_called_one():
    """Nine of nine rows that turned to fail."""
    comparison = compare_runs(
        run("v1", [row(str(i), "pass") for i in range(9)]),
        run("v2", [row(str(i), "fail") for i in range(9)]),
        margin=0.05,
    )
    assert comparison.regressed
    assert comparison_json(comparison)["regressed"] is True


GUIDE = {
    # v1 and v2 passes of seven rows: what the guide's table gives, with as few changed rows as it allows.
    "safety": ("1111111", "1111111"),
    "professional_tone": ("1111111", "1111111"),
    "follows_instructions": ("1111000", "1111100"),
    "includes_next_steps": ("1100000", "1111000"),
    "mentions_contact_name": ("1111111", "1111111"),
    "retrieval_groundedness": ("1111110", "1111000"),
    "concise_communication": ("1100000", "1111111"),
    "relevance_to_query": ("1111100", "1111111"),
}


def guide_run(version: str, side: int) -> EvaluatedRun:
    """Seven rows with eight scorers each."""
    rows = tuple(
        EvaluatedRow(
            trace_id=f"tr-{version}-{index}",
            inputs={"q": index},
            outputs="",
            verdicts={
                name: RowVerdict(label="pass" if passes[side][index] == "1" else "fail")
                for name, passes in GUIDE.items()
            },
        )
        for index in range(7)
    )
    return EvaluatedRun(version=version, run_id=version, rows=rows, scorers=tuple(GUIDE))


def test_the_guides_own_table_proves_nothing_and_says_how_many_rows_would():
    """Overall up by 0.143, and still inconclusive for every scorer: seven rows cannot decide among eight."""
    value = comparison_json(compare_runs(guide_run("v1", 0), guide_run("v2", 1), margin=0.05))
    assert value["overall_difference"] == pytest.approx(1 / 7)
    assert {metric["verdict"] for metric in value["metrics"]} == {"inconclusive"}
    assert min(metric["p_adjusted"] for metric in value["metrics"]) == pytest.approx(0.25)
    assert value["cannot_decide"] == {"rows": 7, "fewest_rows": 8}
    needed = {metric["scorer"]: metric["rows_needed"] for metric in value["metrics"]}
    assert (needed["concise_communication"], needed["retrieval_groundedness"], needed["safety"]) == (25, 84, 381)
    assert len(value["pass_to_fail"]) == 2


def test_rows_of_one_run_alone_are_listed_as_added_and_removed():
    """All are counted; the list is bounded."""
    baseline = run("v1", [row("a", "pass"), *(row(f"old{index}", "pass") for index in range(30))], digest="1" * 64)
    candidate = run("v2", [row("a", "pass"), row("new", "fail")], digest="2" * 64)
    value = comparison_json(compare_runs(baseline, candidate, margin=0.05))
    assert value["unpaired"] == {"baseline": 30, "candidate": 1}
    assert value["added"] == [{"trace_id": "tr-new-fail", "inputs": {"q": "new"}}]
    assert [each["inputs"]["q"] for each in value["removed"]] == [f"old{index}" for index in range(20)]


def test_what_a_scorer_never_saw_is_an_error_of_the_scorer_and_not_silence():
    """A row without a verdict drops its pair and is counted, as one with an error is."""
    baseline = run("v1", [row("a", "pass"), row("b", "pass")])
    candidate = run("v2", [row("a", "pass"), row("b", None)])
    value = comparison_json(compare_runs(baseline, candidate, margin=0.05))
    (metric,) = value["metrics"]
    assert (metric["n_paired"], metric["errors"]) == (1, {"baseline": 0, "candidate": 1})
    assert "app_errors" not in value


def test_an_application_that_failed_is_counted_apart_from_scorers_errors():
    """It fails the row for its version, and the object says how many."""
    baseline = run("v1", [row("a", "pass"), row("b", "pass")])
    candidate = run("v2", [row("a", "pass"), row("b", None, failure="timeout: no answer")])
    value = comparison_json(compare_runs(baseline, candidate, margin=0.05))
    assert value["app_errors"] == {"baseline": 0, "candidate": 1}
    assert value["metrics"][0]["errors"] == {"baseline": 0, "candidate": 0}
    assert value["metrics"][0]["pass_to_fail"] == 1


def repeated(name: str, *labels: str) -> EvaluatedRow:
    """A row that was judged several times."""
    verdict = of_repeats([RowVerdict(label=label, rationale=f"said {label}") for label in labels])
    return EvaluatedRow(trace_id=f"tr-{name}", inputs={"q": name}, outputs="", verdicts={"concise": verdict})


def test_repeats_are_averaged_within_a_row():
    """A mixed row counts as the share of its repeats that pass; the cells count what the majority says."""
    plan = RunPlan(rows=3, repeats=3)
    baseline = run("v1", [repeated(name, "pass", "pass", "pass") for name in "abc"], plan=plan)
    mixed = [repeated("a", "pass", "fail", "pass"), repeated("b", "pass", "fail", "fail"), repeated("c", *["pass"] * 3)]
    value = comparison_json(compare_runs(baseline, run("v2", mixed, plan=plan), margin=0.05))
    (metric,) = value["metrics"]
    assert (value["repeats"], metric["measure"]) == (3, "mean_score")
    assert (metric["baseline"], metric["candidate"]) == pytest.approx((1, 2 / 3))
    assert metric["pass_rates"] == pytest.approx({"baseline": 1, "candidate": 2 / 3})
    assert (metric["pass_to_fail"], metric["n_paired"]) == (1, 3)
    assert metric["p_exact"] == pytest.approx(2 / 2**2)
    # Four of six answers agree wholly, in two of them one pair of three does.
    assert metric["self_agreement"] == pytest.approx((4 + 2 / 3) / 6)
    assert value["pass_to_fail"][0]["candidate"]["rationale"] == "1 of 3 repeats pass. said fail"


def test_errors_of_single_repeats_are_counted_and_a_row_of_nothing_else_is_dropped():
    """Two repeats stand for a row of three; a row without any drops its pair."""
    baseline = run("v1", [repeated("a", "pass", "pass", "error"), repeated("b", "pass", "pass", "pass")])
    candidate = run("v2", [repeated("a", "pass", "pass", "pass"), repeated("b", "error", "error", "error")])
    (metric,) = comparison_json(compare_runs(baseline, candidate, margin=0.05))["metrics"]
    assert metric["errors"] == {"baseline": 0, "candidate": 1}
    assert metric["repeat_errors"] == {"baseline": 1, "candidate": 0}
    assert (metric["n_paired"], metric["baseline"]) == (1, 1)


def test_repeats_that_always_agree_are_compared_as_passes_and_fails():
    """Only a row that is in between takes another path."""
    baseline = run("v1", [repeated(name, "pass", "pass") for name in "abcde"])
    candidate = run("v2", [repeated(name, "fail", "fail") for name in "abcde"])
    (metric,) = comparison_json(compare_runs(baseline, candidate, margin=0.05))["metrics"]
    assert "measure" not in metric
    assert (metric["self_agreement"], metric["verdict"]) == (1, "regressed")


def test_the_scores_of_a_graded_scorer_are_compared_and_its_passes_counted():
    """The mean score decides; the cells stay."""

    def graded(name: str, value: float) -> EvaluatedRow:
        verdict = RowVerdict(label="pass" if value >= 0.5 else "fail", value=value)
        return EvaluatedRow(trace_id=f"tr-{name}", inputs={"q": name}, outputs="", verdicts={"concise": verdict})

    names = "abcdefgh"
    baseline = run("v1", [graded(name, 0.9) for name in names], graded=frozenset({"concise"}))
    candidate = run("v2", [graded(name, 0.6 if name > "a" else 0.4) for name in names], graded=frozenset({"concise"}))
    (metric,) = comparison_json(compare_runs(baseline, candidate, margin=0.05))["metrics"]
    assert (metric["baseline"], metric["candidate"]) == pytest.approx((0.9, 0.575))
    assert (metric["verdict"], metric["pass_to_fail"]) == ("regressed", 1)
    assert metric["pass_rates"] == {"baseline": 1, "candidate": 0.875}


@given(st.permutations([{"q": "a", "n": 1}, {"q": "b"}, {"q": "ä"}]))
def test_the_digest_does_not_depend_on_order(rows):
    """Neither rows nor keys have an order in it."""
    assert rows_digest(rows) == rows_digest([{"q": "ä"}, {"n": 1, "q": "a"}, {"q": "b"}])
    assert canonical_digest({"a": 1, "b": 2}) == canonical_digest({"b": 2, "a": 1})
