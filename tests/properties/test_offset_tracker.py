"""The watermark against the plainest model there is."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.offsets import OffsetTracker

OFFSETS = st.lists(st.integers(0, 60), unique=True, max_size=40).map(sorted)
STEPS = st.lists(st.tuples(st.sampled_from(["begin", "finish", "advance"]), st.integers(0, 70)), max_size=120)


@given(offsets=OFFSETS, steps=STEPS, start=st.integers(0, 5), outcomes=st.sampled_from([1, 3, 100]))
def test_the_watermark_is_the_first_open_offset_or_the_end_of_what_was_begun(offsets, steps, start, outcomes):
    """In any order of work, each outcome is handed out once, and never past an open offset."""
    tracker: OffsetTracker[int] = OffsetTracker()
    tracker.start(start)
    watermark = begun_to = start
    coming = [each for each in offsets if each >= start]
    begun: dict[int, bool] = {}
    for step, number in steps:
        if step == "begin" and coming:
            offset = coming.pop(0)
            fresh = offset >= begun_to
            assert tracker.begin(offset) == fresh
            if fresh:
                begun[offset], begun_to = False, offset + 1
        elif step == "finish" and begun:
            offset = sorted(begun)[number % len(begun)]
            if not begun[offset]:
                tracker.finish(offset, offset % outcomes)
                begun[offset] = True
        elif step == "advance":
            is_open = [offset for offset, done in begun.items() if not done]
            target = min(is_open, default=begun_to)
            moved = tracker.advance()
            if target == watermark:
                assert moved is None
            else:
                assert moved is not None
                assert (moved.from_offset, moved.to_offset) == (watermark, target)
                assert moved.outcomes == Counter(offset % outcomes for offset in begun if offset < target)
            begun = {offset: done for offset, done in begun.items() if offset >= target}
            watermark = target
        assert tracker.waiting == len(begun)
        assert tracker.in_flight == sum(not done for done in begun.values())
        assert tracker.watermark == watermark


def test_what_waits_behind_an_open_offset_takes_no_memory():
    """A hundred thousand finished messages behind one that is not are one tally, and come out with it."""
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.start(0)
    tracker.begin(0)
    for offset in range(1, 100_001):
        tracker.begin(offset)
        tracker.finish(offset, "left out" if offset % 2 else "not ours")
    assert tracker.advance() is None
    assert (len(tracker._open), {at: dict(tally) for at, tally in tracker._behind.items()}) == (
        1,
        {0: {"left out": 50_000, "not ours": 50_000}},
    )
    tracker.finish(0, "scored")
    moved = tracker.advance()
    assert moved is not None
    assert moved.to_offset == 100_001
    assert moved.outcomes == {"scored": 1, "left out": 50_000, "not ours": 50_000}
    assert tracker.waiting == 0


def test_a_message_delivered_again_is_not_begun_again():
    """A rewind repeats messages; those in flight or done are told apart from new ones."""
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.start(3)
    assert [tracker.begin(offset) for offset in (2, 3, 3, 4)] == [False, True, False, True]
    tracker.finish(3, "done")
    moved = tracker.advance()
    assert moved is not None
    assert (moved.to_offset, moved.outcomes) == (4, {"done": 1})
    assert not tracker.begin(3)


@pytest.mark.parametrize("offset", [0, 9])
def test_finishing_what_is_not_in_flight_is_a_defect(offset):
    """Neither what was never begun nor what is finished already can be finished."""
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.start(0)
    tracker.begin(0)
    tracker.begin(1)
    tracker.finish(0, "once")
    with pytest.raises(ValueError, match="not in flight"):
        tracker.finish(offset, "again")


def test_a_gap_at_the_start_is_passed_at_once():
    """Retention or compaction may have removed the first offsets."""
    tracker: OffsetTracker[str] = OffsetTracker()
    tracker.start(0)
    tracker.begin(10)
    moved = tracker.advance()
    assert moved is not None
    assert (moved.from_offset, moved.to_offset, moved.outcomes) == (0, 10, {})
    assert tracker.advance() is None


def test_nothing_works_before_the_start():
    """A tracker that does not know where it stands says so."""
    with pytest.raises(ValueError, match="not been started"):
        OffsetTracker().begin(0)
