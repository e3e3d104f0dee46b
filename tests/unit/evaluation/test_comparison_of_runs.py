"""Pairing rows, counting, and what is said about them: values in, values out."""

import io
import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from monitor.evaluation.canonical import canonical_digest, rows_digest
from monitor.evaluation.comparison import compare_runs
from monitor.evaluation.comparison_json import comparison_json
from monitor.evaluation.errors import NoPairedRows
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun, RowVerdict
from monitor.evaluation.pairing import pair_rows
from monitor.evaluation.report import report_files
from monitor.evaluation.table import changed_rows, comparison_table

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


def test_the_files_hold_the_comparison_and_escape_what_customers_wrote():
    """JSON and CSV read back; the page carries no markup of the application's."""
    comparison = compare_runs(run("<b>v1</b>", [row("a", "pass")]), run("v2", [row("a", "fail")]), margin=0.05)
    files = report_files(comparison)
    assert json.loads(files["comparison.json"]) == comparison_json(comparison)
    frame = pd.read_csv(io.StringIO(files["comparison.csv"]))
    assert frame.loc[0, ["scorer", "pass_to_fail", "verdict"]].tolist() == ["concise", 1, "inconclusive"]
    page = files["comparison.html"]
    assert "<script" not in page
    assert "<b>v1" not in page
    assert "&lt;script&gt;" in page
    assert "prefers-color-scheme: dark" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_terminal_shows_the_table_and_both_rationales():
    """Brackets of the application's text are no markup of the terminal either."""
    baseline = run("v1", [row("[red]a", "pass"), *[row(str(i), "pass") for i in range(7)]])
    candidate = run("v2", [row("[red]a", "fail"), *[row(str(i), "fail") for i in range(7)]])
    value = comparison_json(compare_runs(baseline, candidate, margin=0.05))
    console = Console(file=io.StringIO(), width=160, record=True)
    console.print(comparison_table(value), changed_rows(value, limit=2))
    text = console.export_text()
    for words in ("concise", "1.000", "0.000", "-1.000", "[red]a", f"{MARKUP} pass", f"{MARKUP} fail", "and 6 more"):
        assert words in text


@given(st.permutations([{"q": "a", "n": 1}, {"q": "b"}, {"q": "ä"}]))
def test_the_digest_does_not_depend_on_order(rows):
    """Neither rows nor keys have an order in it."""
    assert rows_digest(rows) == rows_digest([{"q": "ä"}, {"n": 1, "q": "a"}, {"q": "b"}])
    assert canonical_digest({"a": 1, "b": 2}) == canonical_digest({"b": 2, "a": 1})
