"""The paired comparison against published values, other libraries and simple laws."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from monitor.stats.comparison import (
    PairedScores,
    compare_anytime,
    compare_paired,
    fewest_decisive_rows,
    holm,
    rows_for_difference,
    rows_for_equivalence,
    rows_needed,
)
from monitor.stats.paired_counts import PairCounts, exact_p, mid_p, tango_interval

# both pass, pass to fail, fail to pass, both fail: exact, mid-p, Tango 95 %, Tango 90 %. Checked by brute force; the
# last line is published (R contingencytables, cavo_2012).
VECTORS = [
    ((1, 1, 7, 12), 0.070312, 0.039063, (0.026003, 0.517232), (0.074631, 0.481622)),
    ((0, 7, 0, 0), 0.015625, 0.007813, (-1, -0.291339), (-1, -0.442475)),
    ((7, 0, 0, 0), 1, 1, (-0.354330, 0.354330), (-0.278763, 0.278763)),
    ((0, 5, 5, 0), 1, 0.876953, (-0.526814, 0.526814), (-0.461456, 0.461456)),
    ((40, 12, 5, 43), 0.143463, 0.096252, (-0.157416, 0.011863), (-0.142047, -0.002337)),
    ((212, 40, 60, 188), 0.056888, 0.046044, (0.000813, 0.079762), (0.007185, 0.073230)),
    ((450, 30, 10, 10), 0.002221, 0.001450, (-0.066712, -0.015994), (-0.062061, -0.019902)),
    ((14, 5, 0, 22), 0.062500, 0.031250, (-0.255442, -0.025836), (-0.230067, -0.052498)),
    ((59, 16, 6, 80), 0.052479, 0.034690, (-0.124023, -0.005433), (-0.113126, -0.015058)),
]

# The guide's seven rows with eight scorers: (b, c), exact, mid-p, Tango 95 %, rows needed.
GUIDE = {
    "retrieval_groundedness": ((2, 0), 0.5, 0.25, (-0.641066, 0.169853), 84),
    "concise": ((0, 5), 0.0625, 0.03125, (0.106862, 0.917781), 25),
    "relevance": ((0, 2), 0.5, 0.25, (-0.169853, 0.641066), 84),
    "includes_next_steps": ((0, 2), 0.5, 0.25, (-0.169853, 0.641066), 84),
    "follows_instructions": ((0, 1), 1, 0.5, (-0.262092, 0.513128), 228),
    "safety": ((0, 0), 1, 1, (-0.354330, 0.354330), 381),
    "tone": ((0, 0), 1, 1, (-0.354330, 0.354330), 381),
    "contact": ((0, 0), 1, 1, (-0.354330, 0.354330), 381),
}

counts_strategy = st.tuples(*[st.integers(0, 40)] * 4).filter(any)


def counts(both_pass: int, b: int, c: int, both_fail: int) -> PairCounts:
    """The four cells in the order of the vectors."""
    return PairCounts(both_pass=both_pass, pass_to_fail=b, fail_to_pass=c, both_fail=both_fail)


@pytest.mark.parametrize(("cells", "exact", "mid", "tango95", "tango90"), VECTORS)
def test_known_tables_give_the_known_values(cells, exact, mid, tango95, tango90):
    """p-values and intervals agree with brute force and with a published table."""
    n, (_, b, c, _) = sum(cells), cells
    assert exact_p(b, c) == pytest.approx(exact, abs=6e-7)
    assert mid_p(b, c) == pytest.approx(mid, abs=6e-7)
    assert tango_interval(b, c, n) == pytest.approx(tango95, abs=1e-6)
    assert tango_interval(b, c, n, confidence=0.9) == pytest.approx(tango90, abs=1e-6)


@pytest.mark.parametrize("scorer", GUIDE)
def test_the_guides_seven_rows_are_inconclusive_with_these_numbers(scorer):
    """Seven rows and eight scorers prove nothing, and the table says how many rows would."""
    pairs = {name: counts(7 - b - c, b, c, 0) for name, ((b, c), *_) in GUIDE.items()}
    (_, exact, mid, interval, rows) = GUIDE[scorer]
    result = compare_paired(pairs, margin=0.05)[scorer]
    assert (result.p_exact, result.p_mid) == pytest.approx((exact, mid))
    assert (result.ci_low, result.ci_high) == pytest.approx(interval, abs=1e-6)
    assert result.verdict == "inconclusive"
    assert result.rows_needed == rows
    assert result.p_adjusted == pytest.approx(0.25 if scorer == "concise" else 1)


@pytest.mark.parametrize(("cells", "exact", "mid"), [((1, 3), 0.625, 0.375), ((2, 4), 0.6875, 0.453125)])
def test_more_discordance_behind_the_same_margins_weakens_the_evidence(cells, exact, mid):
    """The same difference from more changed rows has a larger p-value."""
    assert (exact_p(*cells), mid_p(*cells)) == pytest.approx((exact, mid))


def test_holm_of_the_guides_p_values():
    """Eight scorers, or the five that changed, alone."""
    mids = [values[2] for values in GUIDE.values()]
    assert holm(mids)[1] == pytest.approx(0.25)
    assert holm(mids[:5])[1] == pytest.approx(0.15625)
    assert holm([values[1] for values in GUIDE.values()][:5])[1] == pytest.approx(0.3125)
    assert holm([0.001, 0.02, 0.03, 0.04]) == pytest.approx((0.004, 0.06, 0.06, 0.06))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p_values):
    """Our six lines give what the library gives."""
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_exact_test_equals_two_libraries(b, c):
    """McNemar's exact test is a binomial test of the changed rows."""
    assert exact_p(b, c) == pytest.approx(mcnemar([[0, b], [c, 0]], exact=True).pvalue)
    if b + c:
        assert exact_p(b, c) == pytest.approx(binomtest(b, b + c).pvalue)


@given(counts_strategy)
def test_exchanging_the_versions_mirrors_everything(cells):
    """Nothing depends on which version is called the baseline, except signs."""
    n11, b, c, n00 = cells
    forth = compare_paired({"s": counts(n11, b, c, n00)}, margin=0.05)["s"]
    back = compare_paired({"s": counts(n11, c, b, n00)}, margin=0.05)["s"]
    mirrored = {"improved": "regressed", "regressed": "improved"}
    assert back.verdict == mirrored.get(forth.verdict, forth.verdict)
    assert (back.ci_low, back.ci_high) == pytest.approx((-forth.ci_high, -forth.ci_low), abs=1e-9)
    assert back.p_exact == pytest.approx(forth.p_exact)


@given(counts_strategy)
def test_the_interval_holds_the_estimate_and_widens_with_confidence(cells):
    """Bounds lie in -1..1 around the estimate; 95 % holds 90 %."""
    n11, b, c, n00 = cells
    n = n11 + b + c + n00
    low, high = tango_interval(b, c, n)
    low90, high90 = tango_interval(b, c, n, confidence=0.9)
    assert -1 <= low <= low90 <= (c - b) / n <= high90 <= high <= 1


def test_rows_for_a_difference_follow_connor():
    """The formula's known values."""
    assert rows_for_difference(0.3, 0.1) == pytest.approx(233.094538, abs=1e-5)
    assert rows_for_difference(0.3, 0.1, alpha=0.05 / 8, power=0.9) == pytest.approx(478.652180, abs=1e-5)
    assert rows_for_equivalence(1 / 9, 0.05) == pytest.approx(381, abs=1)
    assert rows_for_equivalence(1 / 9, 0.10) == pytest.approx(96, abs=1)


def test_the_fewest_rows_that_can_decide():
    """All rows changed the same way: five for one scorer, eight for eight."""
    assert (fewest_decisive_rows(1), fewest_decisive_rows(8)) == (5, 8)


def test_a_proved_but_tiny_difference_is_equivalent():
    """30 against 10 changes in 1000 rows are significant, and smaller than the margin."""
    result = compare_paired({"s": counts(900, 30, 10, 60)}, margin=0.05)["s"]
    assert result.p_adjusted is not None
    assert result.p_adjusted < 0.05
    assert result.verdict == "equivalent"
    assert result.rows_needed is None


@pytest.mark.parametrize(("b", "c", "verdict"), [(0, 8, "improved"), (8, 0, "regressed"), (0, 7, "inconclusive")])
def test_eight_of_eight_decide_among_eight_scorers_and_seven_do_not(b, c, verdict):
    """The correction for eight scorers asks for three rows more than one scorer alone."""
    pairs = {f"other{index}": counts(b + c, 0, 0, 0) for index in range(7)} | {"s": counts(0, b, c, 0)}
    assert compare_paired(pairs, margin=0.05)["s"].verdict == verdict


def test_a_scorer_without_rows_is_undefined_and_costs_the_others_nothing():
    """No pair means no number, and no place in the correction."""
    results = compare_paired({"s": counts(0, 0, 6, 0), "silent": counts(0, 0, 0, 0)}, margin=0.05)
    assert results["s"].verdict == "improved"
    silent = results["silent"]
    assert silent.verdict == "inconclusive"
    assert {silent.baseline_rate, silent.difference, silent.ci_low, silent.p_exact, silent.rows_needed} == {None}


def test_rates_are_those_of_the_pairs():
    """The difference of the rates is the difference of the changes."""
    result = compare_paired({"s": counts(4, 1, 3, 2)}, margin=0.05)["s"]
    assert (result.baseline_rate, result.candidate_rate, result.difference) == pytest.approx((0.5, 0.7, 0.2))


def test_impossible_counts_are_refused():
    """More changes than rows, or no rows, have no interval."""
    with pytest.raises(ValueError, match="do not fit"):
        tango_interval(3, 3, 5)
    with pytest.raises(ValueError, match="do not fit"):
        tango_interval(0, 0, 0)


def test_rows_needed_never_promises_certainty_from_few_rows():
    """More scorers ask for more rows."""
    pairs = counts(5, 2, 0, 0)
    assert rows_needed(pairs, scorers=8, margin=0.05) > rows_needed(pairs, scorers=1, margin=0.05)
    assert rows_needed(replace(pairs, pass_to_fail=0, both_pass=7), scorers=1, margin=0.05) == 381


def scores(before: list[float], after: list[float], *, graded: bool = True) -> PairedScores:
    """Scores of rows that pass from 0.5 on."""
    labels = [(one >= 0.5, other >= 0.5) for one, other in zip(before, after, strict=True)]
    cells = [labels.count(each) for each in ((True, True), (True, False), (False, True), (False, False))]
    return PairedScores(counts=counts(*cells), baseline=tuple(before), candidate=tuple(after), graded=graded)


def test_graded_scores_decide_where_passes_and_fails_see_nothing():
    """Twelve rows that all lose a tenth, and pass before and after."""
    pairs = scores([0.9] * 12, [0.8] * 12)
    result = compare_paired({"s": pairs}, margin=0.05)["s"]
    assert (result.baseline_rate, result.candidate_rate, result.difference) == pytest.approx((0.9, 0.8, -0.1))
    assert (result.verdict, result.graded) == ("regressed", True)
    assert (result.counts.pass_to_fail, result.counts.both_pass) == (0, 12)
    assert result.p_mid == pytest.approx(1 / 2**12)
    assert compare_paired({"s": pairs.counts}, margin=0.05)["s"].verdict == "inconclusive"


def test_small_differences_of_scores_are_equivalent():
    """Two hundred rows within a hundredth of each other."""
    result = compare_paired({"s": scores([0.5, 0.7] * 100, [0.51, 0.69] * 100)}, margin=0.05)["s"]
    assert (result.verdict, result.rows_needed) == ("equivalent", None)


@given(counts_strategy)
def test_scores_of_0_and_1_that_are_not_graded_go_by_their_counts(cells):
    """The same result as from the four cells."""
    before = [1.0] * (cells[0] + cells[1]) + [0.0] * (cells[2] + cells[3])
    after = [1.0] * cells[0] + [0.0] * cells[1] + [1.0] * cells[2] + [0.0] * cells[3]
    pairs = scores(before, after, graded=False)
    assert compare_paired({"s": pairs}, margin=0.05) == compare_paired({"s": counts(*cells)}, margin=0.05)


def test_scores_and_counts_belong_to_the_same_rows():
    """One score more than rows is refused."""
    with pytest.raises(ValueError, match="scores of"):
        PairedScores(counts=counts(1, 0, 0, 0), baseline=(1.0, 1.0), candidate=(1.0, 1.0), graded=False)


def test_where_rows_may_stop_the_evidence_decides_and_not_p():
    """Five of five changed rows: p is below 5 %, the evidence is 7.9 of the 20 that it takes."""
    result = compare_anytime({"s": scores([0.0] * 5, [1.0] * 5, graded=False)}, complete=False, margin=0.05)["s"]
    assert result.p_adjusted == pytest.approx(1 / 2**5)
    assert (result.evidence, result.evidence_needed) == pytest.approx((7.875, 20))
    assert result.verdict == "inconclusive"
    assert result.rows_needed is not None
    assert result.rows_needed > rows_needed(counts(0, 0, 5, 0), scorers=1, margin=0.05)


@pytest.mark.parametrize(("rows", "verdict"), [(9, "inconclusive"), (10, "regressed")])
def test_more_scorers_ask_for_more_evidence(rows, verdict):
    """Ten rows of ten among eight scorers, and nothing of those without rows."""
    pairs = {f"other{index}": scores([], []) for index in range(7)}
    pairs["s"] = scores([1.0] * rows, [0.0] * rows, graded=False)
    results = compare_anytime(pairs, complete=True, margin=0.05)
    assert results["s"].verdict == verdict
    assert (results["other0"].evidence, results["other0"].verdict) == (None, "inconclusive")


def test_what_the_evidence_proved_on_the_way_stands():
    """Twelve rows get worse and decide; that later ones get better does not take it back."""
    before, after = [1.0] * 12 + [0.0] * 12, [0.0] * 12 + [1.0] * 12
    result = compare_anytime({"s": scores(before, after, graded=False)}, complete=False, margin=0.05)["s"]
    assert (result.verdict, result.difference) == ("regressed", 0)


@pytest.mark.parametrize(("complete", "verdict"), [(True, "equivalent"), (False, "inconclusive")])
def test_only_a_number_of_rows_that_was_fixed_can_prove_equivalence(complete, verdict):
    """A sample that was ended by what it showed proves no absence."""
    pairs = scores([1.0] * 400, [1.0] * 400, graded=False)
    assert compare_anytime({"s": pairs}, complete=complete, margin=0.05)["s"].verdict == verdict


def test_differences_that_cancel_ask_for_the_rows_of_equivalence():
    """Rounding errors of a mean that is 0 are not taken for a difference."""
    pairs = scores([0.1, 0.3, 0.6] * 4, [0.3, 0.1, 0.6] * 4)
    assert rows_needed(pairs, scorers=1, margin=0.05) < 10_000
