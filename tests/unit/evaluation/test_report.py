"""How a comparison is shown: files, the page with its chart and marked differences, the terminal."""

import io
import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from monitor.evaluation import text_diff
from monitor.evaluation.chart import difference_chart
from monitor.evaluation.comparison import compare_runs
from monitor.evaluation.comparison_json import comparison_json
from monitor.evaluation.evaluated_run import EvaluatedRow, EvaluatedRun, RowVerdict, RunPlan
from monitor.evaluation.report import ROWS_SHOWN, report_files
from monitor.evaluation.table import changed_rows, comparison_table
from monitor.evaluation.text_diff import marked

MARKUP = "<script>alert('x')</script>"


def row(name: str, label: str, *, output: str = MARKUP, scorers: tuple[str, ...] = ("concise",), **changes):
    """A row whose scorers gave this label."""
    verdicts = {scorer: RowVerdict(label=label, rationale=f"{MARKUP} {label}") for scorer in scorers}
    values = {"trace_id": f"tr-{name}", "inputs": {"q": name}, "outputs": {"a": output}, "verdicts": verdicts}
    return EvaluatedRow(**{**values, **changes})


def run(version: str, rows, **changes) -> EvaluatedRun:
    """A run of these rows on one dataset."""
    values = {"version": version, "run_id": f"run-{version}", "rows": tuple(rows), "scorers": ("concise",)}
    return EvaluatedRun(**{**values, "dataset": "production", "digest": "d" * 64, **changes})


def printed(value, width: int = 80) -> str:
    """The table as a terminal of that width shows it."""
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(comparison_table(value))
    return console.export_text()


class _Tags(HTMLParser):
    """What is in a page: its tags with their attributes, and the marked texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.marks: list[tuple[str, str]] = []
        self._inside: str | None = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Note it."""
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("ins", "del") else None

    def handle_data(self, data):
        """Note what is marked."""
        if self._inside:
            self.marks.append((self._inside, data))
            self._inside = None


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


def test_the_page_loads_and_runs_nothing():
    """No script, no address, no handler; the policy forbids them as well, and both colour schemes are there."""
    comparison = compare_runs(run("v1", [row("a", "pass")]), run("v2", [row("a", "fail")]), margin=0.05)
    page = report_files(comparison)["comparison.html"]
    tags = _Tags(page).tags
    assert {name for name, _ in tags} & {"script", "link", "img", "iframe", "object", "image", "use"} == set()
    assert not [attributes for _, attributes in tags if {"src", "href", "style"} & set(attributes)]
    assert not [key for _, attributes in tags for key in attributes if key.startswith("on")]
    policy = next(
        attributes["content"]
        for name, attributes in tags
        if name == "meta" and "content" in attributes and "default-src" in attributes["content"]
    )
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_page_marks_the_words_that_differ_between_the_two_answers():
    """What the candidate left out and what it added, escaped, on the row that turned from pass to fail."""
    old, new = "It <i>arrives</i> on Tuesday, Bob.", "It <i>arrives</i> by <b>Friday</b>, Bob."
    comparison = compare_runs(
        run("v1", [row("a", "pass", output=old)]), run("v2", [row("a", "fail", output=new)]), margin=0.05
    )
    found = _Tags(report_files(comparison)["comparison.html"])
    assert found.marks == [("del", "on Tuesday,"), ("ins", "by <b>Friday</b>,")]
    assert not {"i"} & {name for name, _ in found.tags}


def test_the_page_bounds_how_many_rows_and_how_much_text_it_shows():
    """The others are counted; all of them are in the JSON."""
    rows = range(ROWS_SHOWN + 7)
    baseline = run("v1", [row(str(index), "pass", output="x" * 30_000) for index in rows])
    candidate = run("v2", [row(str(index), "fail", output="y" * 30_000) for index in rows])
    files = report_files(compare_runs(baseline, candidate, margin=0.05))
    assert files["comparison.html"].count("<article") == ROWS_SHOWN
    assert "And 7 more" in files["comparison.html"]
    assert "(10000 more characters)" in files["comparison.html"]
    assert len(json.loads(files["comparison.json"])["pass_to_fail"]) == ROWS_SHOWN + 7


def test_the_chart_shows_each_difference_within_its_interval():
    """Well-formed, one bar a scorer that has a difference, none outside the drawing, and 0 where it belongs."""
    metric = {"difference": -0.286, "ci_low": -0.641, "ci_high": 0.17, "verdict": "inconclusive"}
    metrics = [
        {"scorer": "<b>groundedness</b>", **metric},
        {"scorer": "x" * 64, **metric, "difference": 0.9, "ci_low": None, "ci_high": None},
        {"scorer": "undefined", **metric, "difference": None},
    ]
    chart = difference_chart(metrics)
    assert chart is not None
    first, second = chart.bars
    assert chart.left <= first.interval[0] < first.x < first.interval[1] <= chart.right
    assert first.x < chart.zero < second.x <= chart.right
    assert (second.interval, len(second.label)) == (None, 30)
    assert {label: x for x, label in chart.ticks}["0"] == chart.zero
    assert difference_chart(metrics[2:]) is None


def test_the_pages_drawing_is_well_formed():
    """It parses as XML, with a title for each scorer."""
    comparison = compare_runs(run("v1", [row("a", "pass")]), run("v2", [row("a", "fail")]), margin=0.05)
    page = report_files(comparison)["comparison.html"]
    drawing = ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])  # noqa: S314 - our own page
    (bar,) = drawing.findall("g")
    assert bar.get("class") == "bar inconclusive"
    assert bar.findtext("title").startswith("concise: -1.000, 95 % interval -1.000 to ")


texts = st.text(st.sampled_from("ab \n,"), max_size=60)


@given(texts, texts)
def test_the_pieces_of_a_text_are_the_text(before, after):
    """Nothing is lost or added, unmarked words are the same on both sides, and marks begin with a word."""
    left, right = marked(before, after)
    assert "".join(text for _, text in left) == before
    assert "".join(text for _, text in right) == after
    same = [[word for changed, text in side if not changed for word in text.split()] for side in (left, right)]
    assert same[0] == same[1]
    assert all(text[0].strip() for side in (left, right) for changed, text in side if changed)


def test_long_texts_are_not_compared_word_by_word(monkeypatch):
    """They are shown as they are."""
    monkeypatch.setattr(text_diff, "MOST_WORDS", 3)
    assert marked("a b c d", "a x c d") == (((False, "a b c d"),), ((False, "a x c d"),))


def full_comparison() -> dict:
    """A comparison in which everything that can be said has to be said, with the longest names."""
    scorers = ("s" * 64, "concise", "retrieval_groundedness", "lost")
    plan = RunPlan(rows=90, repeats=3, early_stop=True, judges=2)
    verdict = RowVerdict(label="pass", value=2 / 3, repeats=("pass", "pass", "fail"))
    before = [row(str(index), "pass", scorers=scorers) for index in range(12)]
    after = [row(str(index), "fail", scorers=scorers) for index in range(11)]
    broken = {"concise": verdict, "lost": RowVerdict(label="error", repeats=("error",) * 3)}
    after.append(row("11", "fail", verdicts=broken, failure=None))
    after.append(row("new " * 40, "fail", scorers=scorers))
    before.append(row("gone", "fail", failure="raised", scorers=scorers))
    after.append(row("gone", "fail", scorers=scorers))
    versions = {"scorer_versions": {"lost": "aaa"}}, {"scorer_versions": {"lost": "bbb"}}
    runs = (
        run("release-2026-11-04-with-a-long-name", before, scorers=scorers, plan=plan, digest="1" * 64, **versions[0]),
        run("release-2026-11-05-with-a-long-name", after, scorers=scorers, plan=plan, **versions[1]),
    )
    return comparison_json(compare_runs(*runs, margin=0.05))


@pytest.mark.parametrize("key", ["early_stop", None])
def test_the_table_fits_80_columns_whatever_the_names_are(key):
    """No line is longer, every verdict is whole, and the numbers are not cut."""
    value = full_comparison()
    if key is None:
        value.pop("early_stop")
    text = printed(value)
    assert max(len(line) for line in text.splitlines()) <= 80
    for metric in value["metrics"]:
        assert metric["verdict"] in text
        assert f"{metric['difference']:+.3f}" in text
    assert "95 % interval" in text


def test_the_table_says_what_its_numbers_do_not():
    """What decides, what was saved, repeats, errors, and rows of one run alone."""
    text = " ".join(printed(full_comparison(), width=400).split())
    for words in (
        "E: evidence, which decides; p: McNemar's mid-p, Holm over the scorers, does not",
        "Stopped early after 13 of 90 rows: 153 answers and 918 judge calls saved.",
        "The evidence alone decides, at 60 or more; p is that of a fixed number of rows, and does not decide.",
        "Each answer was judged 3 times. Self-agreement: concise 0.333.",
        "Rows without an answer of the application, each a fail of that version: 1 (release-2026-11-04-",
        "Added, only release-2026-11-05-with-a-long-name has them: 1 row (q: new new",
        "retrieval_groundedness could not judge, and leaves out: 1 (release-2026-11-05-",
        "lost decides nothing: the scorer's versions differ: aaa and bbb.",
    ):
        assert words in text


def test_a_comparison_that_an_earlier_release_kept_is_shown_too():
    """Its object has none of the further keys."""
    value = full_comparison()
    for key in ("unpaired", "added", "app_errors", "repeats", "early_stop", "cannot_decide"):
        value.pop(key, None)
    for metric in value["metrics"]:
        for key in ("measure", "pass_rates", "self_agreement", "repeat_errors", "evidence", "evidence_needed", "note"):
            metric.pop(key, None)
    assert "needs: rows that would decide" in printed(value)
