"""The draw of traces for labelling: at random, independent of what kept the trace, and shown by a tag."""

import pytest

from monitor.labels.drawing import LABEL_TAG, draw, tagged
from monitor.sampling import uniform
from tests.sample_traces import sample_trace

IDS = [f"tr-{number:032x}" for number in range(40_000)]


@pytest.mark.parametrize("rate", [0.01, 0.2])
def test_the_share_that_is_drawn_is_the_rate(rate):
    """Of 40,000 traces, and the probability is written down with the decision."""
    drawn = [found for trace_id in IDS if (found := draw(trace_id, rate)) is not None]
    assert len(drawn) / len(IDS) == pytest.approx(rate, rel=0.1)
    assert {(each.subject, each.kept, each.probability, each.state) for each in drawn} == {
        ("labels", True, rate, "drawn")
    }


def test_what_kept_a_trace_says_nothing_about_its_draw():
    """Among the traces that a 5 % scorer keeps the same share is drawn as among all others."""
    kept = [trace_id for trace_id in IDS if uniform(trace_id) < 0.05]
    others = [trace_id for trace_id in IDS if uniform(trace_id) >= 0.05]
    shares = [sum(draw(each, 0.2) is not None for each in ids) / len(ids) for ids in (kept, others)]
    assert shares == pytest.approx([0.2, 0.2], abs=0.02)


def test_none_and_all_can_be_asked_for():
    """Rate 0 draws nothing, rate 1 everything."""
    assert not any(draw(trace_id, 0.0) for trace_id in IDS[:1000])
    assert all(draw(trace_id, 1.0) for trace_id in IDS[:1000])


def test_a_larger_rate_draws_all_that_a_smaller_one_draws():
    """A trace that was drawn stays drawn when more are wanted."""
    assert all(draw(trace_id, 0.1) is not None for trace_id in IDS if draw(trace_id, 0.05) is not None)


def test_the_tag_says_what_the_ledger_says():
    """A drawn trace has it; on any other it means nothing and is taken off; nothing else changes."""
    trace = sample_trace()
    shown = tagged(trace, drawn=True)
    assert shown.info.tags == {**trace.info.tags, LABEL_TAG: "wanted"}
    assert tagged(shown, drawn=False).info.tags == trace.info.tags
    assert shown.data.spans == trace.data.spans
    assert LABEL_TAG not in trace.info.tags
