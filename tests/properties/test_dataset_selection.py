"""The bounded choice of rows, on any set of rows."""

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from monitor.dataset.records import Member
from monitor.dataset.selection import choose


def _member(number, segment, priority, golden):
    return Member(
        dataset="d",
        inputs_digest=hashlib.sha256(str(number).encode()).hexdigest(),
        trace_id=f"tr-{number}",
        segment=segment,
        priority=priority,
        probability=1.0,
        golden=golden,
        inputs={"n": number},
        outputs=None,
        expectations={},
        tags={},
        event_time_ms=number,
    )


rows = st.lists(
    st.tuples(st.sampled_from("aaaaaabbcde"), st.integers(1, 12).map(float), st.integers(0, 9).map(lambda n: n == 0)),
    max_size=60,
).map(lambda drawn: [_member(number, *values) for number, values in enumerate(drawn)])
bounds = st.integers(1, 25)
quotas = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 8), max_size=3)


@given(rows, bounds, quotas)
def test_the_dataset_stays_within_its_size(members, max_rows, limits):
    """Every row is kept or evicted, and no more are kept than allowed, or than there are golden ones."""
    chosen = choose(members, max_rows, limits)
    golden = sum(member.golden for member in members)
    assert chosen.kept | chosen.evicted == {member.inputs_digest for member in members}
    assert not chosen.kept & chosen.evicted
    assert len(chosen.kept) <= max(max_rows, golden)
    if not limits:
        assert len(chosen.kept) == max(min(max_rows, len(members)), golden)


@given(rows, bounds, quotas)
def test_golden_rows_are_never_evicted(members, max_rows, limits):
    """Neither the size nor a quota touches them."""
    assert {member.inputs_digest for member in members if member.golden} <= choose(members, max_rows, limits).kept


@given(rows, bounds)
def test_a_common_segment_never_crowds_out_a_rare_one(members, max_rows):
    """A segment that lost a row has, golden rows apart, at least as many left as any other, less one."""
    chosen = choose(members, max_rows)
    kept, lost, plain = Counter(), Counter(), Counter()
    for member in members:
        staying = member.inputs_digest in chosen.kept
        kept[member.segment] += staying
        plain[member.segment] += staying and not member.golden
        lost[member.segment] += not staying
    for segment in lost:
        if lost[segment]:
            assert all(kept[segment] >= kept[other] - 1 for other in plain if plain[other])


@given(rows, bounds, quotas, st.randoms(use_true_random=False))
def test_the_order_of_rows_makes_no_difference(members, max_rows, limits, random):
    """The choice is a function of the set."""
    shuffled = list(members)
    random.shuffle(shuffled)
    assert choose(shuffled, max_rows, limits) == choose(members, max_rows, limits)


@given(rows, bounds, quotas, st.integers(1, 10))
def test_deciding_as_rows_come_gives_what_deciding_at_the_end_gives(members, max_rows, limits, step):
    """Evicted rows may be forgotten: they would never have come back."""
    active: list[Member] = []
    for start in range(0, len(members), step):
        active += members[start : start + step]
        kept = choose(active, max_rows, limits).kept
        active = [member for member in active if member.inputs_digest in kept]
    assert {member.inputs_digest for member in active} == choose(members, max_rows, limits).kept


@given(rows, bounds)
def test_within_a_segment_the_larger_priority_stays(members, max_rows):
    """No plain row is kept while one of its segment with a larger key goes."""
    chosen = choose(members, max_rows)
    for segment in "abcde":
        plain = [member for member in members if member.segment == segment and not member.golden]
        kept = [member.priority for member in plain if member.inputs_digest in chosen.kept]
        gone = [member.priority for member in plain if member.inputs_digest in chosen.evicted]
        assert not kept or not gone or min(kept) >= max(gone)


@given(rows, quotas)
def test_a_quota_bounds_its_segment(members, limits):
    """With room for all, only quotas evict, and golden rows count towards them."""
    chosen = choose(members, 1000, limits)
    for segment in "abcde":
        mine = [member for member in members if member.segment == segment]
        golden = sum(member.golden for member in mine)
        kept = sum(member.inputs_digest in chosen.kept for member in mine)
        assert kept == max(golden, min(len(mine), limits.get(segment, len(mine))))
