"""Small drawings: better is higher, gaps stay gaps, nothing leaves its box; and numbers as people read them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from monitor.status_page import words
from monitor.status_page.comparisons import comparison_views
from monitor.status_page.graphs import HEIGHT, WIDTH, filled, reach_of, sparkline, whisker
from tests.status_pages import comparison, comparison_row, metric, series

RATES = st.lists(st.none() | st.floats(0, 1), max_size=24)


@given(RATES, st.none() | st.floats(0, 1), st.none() | st.floats(0, 1), st.none() | st.floats(0, 1))
def test_a_sparkline_stays_in_its_box(
    rates: list, mark: float | None, lower: float | None, upper: float | None
) -> None:
    """Whatever the rates, the interval and the target are."""
    drawn = sparkline(series(spark=rates, target_or_reference=mark, lower=lower, upper=upper))
    points = [tuple(map(float, pair)) for line in drawn.lines for pair in re.findall(r"([\d.]+) ([\d.]+)", line)]
    points += [*drawn.dots, *([drawn.last] if drawn.last else [])]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
    assert drawn.mark is None or 0 <= drawn.mark <= HEIGHT
    assert (drawn.last is None) == all(rate is None for rate in rates)


def test_higher_rates_lie_higher() -> None:
    """On a screen that is a smaller y."""
    drawn = sparkline(series(spark=(0.2, 0.9), target_or_reference=0.5, lower=0.4, upper=0.6))
    first, last = (float(y) for y in re.findall(r" ([\d.]+)", drawn.lines[0]))
    assert drawn.mark is not None
    assert drawn.band is not None
    assert first > drawn.mark > last
    assert drawn.band[0] < drawn.mark < sum(drawn.band)


def test_noise_near_the_top_looks_like_noise() -> None:
    """The axis begins at 90 % at the latest: a wobble of one point is a tenth of the height at most."""
    drawn = sparkline(series(spark=(0.99, 0.98), target_or_reference=None))
    first, last = (float(y) for y in re.findall(r" ([\d.]+)", drawn.lines[0]))
    assert abs(first - last) < HEIGHT / 10


def test_an_hour_without_verdicts_is_a_gap() -> None:
    """The line does not pretend to know what was between."""
    drawn = sparkline(series(spark=(0.9, 0.8, None, 0.7, None, 0.9, 0.9)))
    assert len(drawn.lines) == 2
    assert len(drawn.dots) == 1
    assert sparkline(series(spark=(None, None))).words == "No verdict in the last 24 hours"


def test_a_drawing_says_the_same_in_words() -> None:
    """For who does not see it."""
    spark = sparkline(series(spark=(0.9, None, 0.7, 0.8)))
    assert spark.words.endswith("from 70.0\u00a0% to 90.0\u00a0%, lately 80.0\u00a0%")


def test_a_difference_lies_on_its_side_of_the_middle() -> None:
    """Worse is left, better is right, and all scorers of a comparison share one axis."""
    worse = metric()
    better = metric(difference=0.4, ci_low=0.3, ci_high=0.52, verdict="improved")
    (view,) = comparison_views([comparison_row(comparison=comparison(metrics=[better, worse]))], None)
    assert [each.verdict for each in view.metrics] == ["regressed", "improved"]
    reach = reach_of(view)
    assert reach == 0.6
    left, right = (whisker(each, reach) for each in view.metrics)
    assert left.left is not None
    assert left.dot is not None
    assert left.right is not None
    assert right.dot is not None
    assert 0 <= left.left < left.dot < left.right < WIDTH / 2 < right.dot <= WIDTH


def test_a_meter_is_never_empty_for_a_little_and_never_over_full() -> None:
    """100 is its whole width."""
    assert [filled(share) for share in (0.0, 0.001, 0.5, 1.7)] == [0.0, 1.5, 50.0, 100.0]


def test_rates_are_percent_and_nearly_all_is_not_all() -> None:
    """A single failure in a thousand must not look like none."""
    shown = [words.percent(rate) for rate in (None, 0.0, 0.0001, 0.942, 0.9996, 1.0)]
    assert shown == ["–", "0.0\u00a0%", "0.1\u00a0%", "94.2\u00a0%", "99.9\u00a0%", "100.0\u00a0%"]  # noqa: RUF001


def test_differences_carry_a_sign() -> None:
    """A fall has a minus, not a hyphen."""
    assert [words.points(value) for value in (0.0143, -0.198, 0.0)] == ["+1.4", "−19.8", "±0.0"]  # noqa: RUF001


def test_times_are_in_their_two_largest_units() -> None:
    """As one says them."""
    shown = [words.duration(seconds) for seconds in (0.4, 59, 61, 3_600, 7_500, 90_000, 172_800)]
    assert [each.replace("\u00a0", " ") for each in shown] == [
        "0 s",
        "59 s",
        "1 min",
        "1 h",
        "2 h 5 min",
        "1 d 1 h",
        "2 d",
    ]
    assert words.moment(10**18) == "9999-12-31 23:59 UTC"
    assert words.listed(["a", "b", "c"]) == "a, b and c"
