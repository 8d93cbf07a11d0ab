"""Counts that are summed as they come, while some of them are replaced by others."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.state.buckets import WIDE
from tapes.state.counts import LANE, TOGETHER, Buckets, Lanes, PackedBuckets, RunningCounts, in_lanes, packed, summed
from tests.state.bucket_counts import added, as_dict

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=200)

positive = st.integers(8000, 8200).map(lambda half: 2 * half)
others = st.one_of(st.just(0), positive.map(lambda key: key + 0x8000), st.integers(WIDE, WIDE + 100))
keys = st.one_of(positive, positive, positive, others)
counts = st.one_of(st.integers(1, 3), st.integers(250, 260), st.integers(65_530, 65_540), st.integers(1, 1 << 24))


def narrow(buckets: Dict[int, int]) -> Lanes:
    """Return lanes that are as narrow as these counts allow."""
    lanes = in_lanes(buckets)
    assert isinstance(lanes, Lanes)
    most = max(lanes.counts(), default=0)
    width = 1 if most < 1 << 8 else 2 if most < 1 << 16 else LANE
    number = b"".join(count.to_bytes(width, "little") for count in lanes.counts())
    return Lanes(lanes.low, int.from_bytes(number, "little"), lanes.others, width)


held: st.SearchStrategy[Dict[int, int]] = st.dictionaries(keys, counts, max_size=8)
buckets_of_any_kind: st.SearchStrategy[Buckets] = st.one_of(
    held.map(narrow), held.map(narrow), held.map(in_lanes), held.map(packed).map(PackedBuckets), held
)
steps = st.lists(st.tuples(st.integers(0, 4), st.none() | buckets_of_any_kind), max_size=20)


@LAW
@given(steps)
def test_the_sum_is_that_of_what_was_put_in_last(steps: List[Tuple[int, Optional[Buckets]]]) -> None:
    """Whoever puts in what, however it is held, and if it is nothing any more."""
    running = RunningCounts()
    there: Dict[int, Buckets] = {}
    for who, new in steps:
        running.replace(there.pop(who, None), new, who % 2)
        if new is not None:
            there[who] = new

        assert as_dict(running.total()) == added(list(there.values()))


@LAW
@given(st.lists(held.map(narrow), min_size=1, max_size=8))
def test_narrow_lanes_are_added_as_wide_ones_are(many: List[Lanes]) -> None:
    """Whatever runs over into the next lane."""
    expected = added(list(many))

    assert as_dict(summed(many, sum(expected.values()))) == expected


@pytest.mark.parametrize("most", [255, 65_535])
@pytest.mark.parametrize("number", [TOGETHER, TOGETHER + 1, 5 * TOGETHER + 3])
def test_no_lane_of_many_runs_over(most: int, number: int) -> None:
    """Counts that are as large as narrow lanes can hold, of more than can be added at once."""
    full = narrow({0x3F80 + 2 * place: most for place in range(7)})
    running = RunningCounts()
    for place in range(number):
        running.replace(None, full, place // TOGETHER)

    assert as_dict(running.total()) == {key: most * number for key, _ in full.items()}
    assert as_dict(summed([full] * number, 7 * most * number)) == {key: most * number for key, _ in full.items()}


@pytest.mark.parametrize("held", [{0x3F80: 1}, narrow({0x3F80: 1}), narrow({0: 1}), narrow({0x3F80: 1, 0: 1})])
def test_a_sum_that_was_read_stays_as_it_was(held: Buckets) -> None:
    """What is put in later is only in later sums."""
    running = RunningCounts()
    running.replace(None, held, 0)
    before = running.total()
    running.replace(None, held, 0)

    assert as_dict(before) == as_dict(held)
    assert as_dict(running.total()) == dict.fromkeys(as_dict(held), 2)


def test_an_empty_count_may_be_put_in_and_taken_out() -> None:
    """As a sender may tell it that is not of tapes."""
    running = RunningCounts()
    empty = Lanes(0, 0, {0: 0})
    running.replace(None, empty, 0)
    running.replace(empty, None, 0)

    assert as_dict(running.total()) == {}
