"""The corrected pass rate and the agreement against published code, known answers, and the truth in simulations."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.stats.judge_quality import (
    CorrectedRate,
    Judged,
    Labelled,
    Tally,
    agreement_of,
    corrected_rate,
    labelled_of,
    post_stratified,
    ppi_plus_plus,
    wilson_interval,
)


def labelled(both_pass: int, human_pass: int, judge_pass: int, both_fail: int, weight: float = 1.0) -> Labelled:
    """Labels of one weight."""

    def tally(count: int) -> Tally:
        return Tally(count=count, weight=count * weight, squares=count * weight * weight)

    return Labelled(
        both_pass=tally(both_pass),
        human_pass=tally(human_pass),
        judge_pass=tally(judge_pass),
        both_fail=tally(both_fail),
    )


def judged(passed: int, failed: int, weight: float = 1.0) -> Judged:
    """Verdicts of one weight."""
    tallies = [Tally(count=n, weight=n * weight, squares=n * weight * weight) for n in (passed, failed)]
    return Judged(passed=tallies[0], failed=tallies[1])


FORTY = labelled(28, 3, 5, 4)
REST = judged(850, 150)


def corrected(labels: Labelled, every: Judged) -> CorrectedRate | None:
    """Where all that is judged is asked for: labels and verdicts have one unit."""
    return corrected_rate(labels, every, every.without(labels))


@pytest.mark.parametrize(
    ("power", "rate", "lower", "upper"),
    [
        (1.0, 0.800000, 0.660512, 0.939488),
        (None, 0.786359, 0.666280, 0.906439),
        (0.0, 0.775000, 0.645592, 0.904408),
    ],
)
def test_ppi_plus_plus_gives_what_its_authors_code_gives(power, rate, lower, upper):
    """Numbers of ppi-python 0.2.3 for 40 labels and 1000 more verdicts, with full, tuned and no trust in the judge."""
    found = ppi_plus_plus(FORTY, REST, power)
    assert (found.rate, found.lower, found.upper) == pytest.approx((rate, lower, upper), abs=1e-6)
    assert (found.labels, found.method) == (40, "ppi++")


def test_agreement_and_kappa_have_their_known_values():
    """The same labels agree on 80 %, of which chance explains two thirds."""
    found = agreement_of(FORTY)
    assert found is not None
    assert found.share == pytest.approx(0.8)
    assert found.kappa == pytest.approx(0.377432, abs=1e-6)
    assert found.n == 40
    assert (found.lower, found.upper) == pytest.approx(wilson_interval(0.8, 40))


def test_wilson_s_interval_has_its_known_values():
    """Against statsmodels, at the edges too."""
    from statsmodels.stats.proportion import proportion_confint

    for passed, n in ((0, 1), (1, 1), (5, 10), (32, 40), (99, 100)):
        assert wilson_interval(passed / n, n) == pytest.approx(proportion_confint(passed, n, method="wilson"))
    assert wilson_interval(0.0, 0.0) == (0.0, 1.0)


def test_the_post_stratified_estimate_is_the_formula_by_hand():
    """Cells 28 of 33 and 3 of 7, each smoothed, by shares of .85 and .15."""
    passed, failed = 29 / 35, 4 / 9
    variance = (
        0.85**2 * passed * (1 - passed) / 35
        + 0.15**2 * failed * (1 - failed) / 9
        + 0.85 * 0.15 * (passed - failed) ** 2 / 1000
    )
    found = post_stratified(FORTY, REST)
    rate = 0.85 * passed + 0.15 * failed
    half = 1.959964 * variance**0.5
    assert (found.rate, found.lower, found.upper) == pytest.approx((rate, rate - half, rate + half), abs=1e-6)


def test_eighty_labels_change_the_method():
    """Below 80 the smoothed strata, from 80 on PPI++; what counts is how many equal labels they are worth."""
    verdicts = judged(1700, 300)
    below = corrected(labelled(60, 5, 10, 4), verdicts)
    above = corrected(labelled(60, 5, 10, 5), verdicts)
    assert below is not None
    assert above is not None
    assert (below.method, above.method) == ("post-stratified", "ppi++")
    heavy = replace(labelled(60, 5, 10, 5), both_fail=Tally(count=5, weight=200.0, squares=8000.0))
    found = corrected(heavy, verdicts)
    assert found is not None
    assert found.method == "post-stratified"


def test_labels_are_not_counted_a_second_time_as_verdicts():
    """PPI++ takes the labelled traces out of the verdicts: where all are labelled, people alone decide."""
    labels = labelled(70, 5, 10, 15)
    found = corrected(labels, judged(80, 20))
    assert found is not None
    assert found.method == "post-stratified"
    more = corrected(labels, judged(880, 120))
    assert more == ppi_plus_plus(labels, judged(800, 100))


def test_nothing_known_is_no_number():
    """Without labels, or without verdicts, there is no estimate and no agreement."""
    assert corrected(Labelled(), REST) is None
    assert corrected(FORTY, Judged()) is None
    assert agreement_of(Labelled()) is None


def test_kappa_is_unknown_where_nobody_ever_disagrees_or_fails():
    """Two that always pass agree wholly, and chance would as well: kappa says nothing."""
    found = agreement_of(labelled(12, 0, 0, 0))
    assert found is not None
    assert (found.share, found.kappa, found.kappa_lower) == (1.0, None, None)


counts = st.integers(min_value=0, max_value=200)


@given(counts, counts, counts, counts, counts, counts, st.floats(min_value=0.01, max_value=100))
def test_the_unit_of_weights_means_nothing(a, b, c, d, passed, failed, weight):
    """Weights are relative: any common factor gives the same estimates, all of them within 0 and 1."""
    one, other = labelled(a, b, c, d), labelled(a, b, c, d, weight)
    verdicts, heavier = judged(passed + a + c, failed + b + d), judged(passed + a + c, failed + b + d, weight)
    first, second = corrected(one, verdicts), corrected(other, heavier)
    assert (first is None) == (second is None)
    if first is not None and second is not None:
        assert (second.rate, second.lower, second.upper) == pytest.approx(
            (first.rate, first.lower, first.upper), abs=1e-6
        )
        assert 0 <= first.lower <= first.rate <= first.upper <= 1
    agreed = agreement_of(one)
    if agreed is not None:
        assert 0 <= agreed.lower <= agreed.share <= agreed.upper <= 1
        assert agreed.kappa is None or -1 <= agreed.kappa <= 1


def test_a_perfect_judge_needs_no_correction():
    """With a judge that is always right the estimate is the judge's rate, and labels alone would know less."""
    found = ppi_plus_plus(labelled(85, 0, 0, 15), judged(8500, 1500))
    assert found.rate == pytest.approx(0.85)
    alone = wilson_interval(0.85, 100)
    assert found.upper - found.lower < 0.5 * (alone[1] - alone[0])


@pytest.mark.parametrize("labels", [10, 20, 80, 200])
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "unequal"])
def test_the_interval_covers_the_truth(labels, weighted):
    """95 % intervals hold people's true rate of .85 in at least 91 of 100 simulated months.

    The judge passes 95 % of what people pass and 40 % of what they fail: alone it would say .8675. With unequal
    weights fails by the judge are kept four times as often, as a rule for errors does.
    """
    random = np.random.default_rng(labels)
    hits = 0
    runs = 500
    for _ in range(runs):
        human = random.random(2000) < 0.85
        judge = np.where(human, random.random(2000) < 0.95, random.random(2000) < 0.40)
        probability = np.where(judge, 0.25, 1.0) if weighted else np.ones(2000)
        kept = random.random(2000) < probability
        human, judge, weight = human[kept], judge[kept], 1 / probability[kept]
        drawn = np.zeros(len(human), dtype=bool)
        drawn[random.choice(len(human), labels, replace=False)] = True
        cells = {
            (y, f): _tally(weight[drawn & (human == y) & (judge == f)]) for y in (True, False) for f in (True, False)
        }
        every = Judged(passed=_tally(weight[judge]), failed=_tally(weight[~judge]))
        found = corrected(labelled_of(cells), every)
        assert found is not None
        hits += found.lower <= 0.85 <= found.upper
    assert hits / runs >= 0.91


def _tally(weights):
    return Tally(count=len(weights), weight=float(weights.sum()), squares=float((weights**2).sum()))
