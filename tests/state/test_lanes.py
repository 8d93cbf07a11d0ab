"""Counts by bucket in their other ways: as the lanes of one large integer, and added up."""

from __future__ import annotations

import math
from typing import Any, Dict, List

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapes.state.buckets import WIDE, key_of, representative
from tapes.state.counts import Buckets, Lanes, PackedBuckets, in_lanes, packed, summed
from tapes.state.distribution import Distribution
from tapes.state.quantiles import quantiles
from tests.state.bucket_counts import added, as_dict

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

MANY = 1 << 32  # more than a lane holds

positive = st.one_of(st.integers(8000, 8300), st.integers(0x82 // 2, 0x7F7E // 2)).map(lambda half: 2 * half)
others = st.one_of(st.just(0), positive.map(lambda key: key + 0x8000), st.integers(WIDE, WIDE + (1 << 19)))
keys = st.one_of(positive, positive, others)
few = st.integers(1, MANY // 256)  # twelve in each of eight, twice, are less than a lane holds
counts = st.one_of(st.integers(1, 300), few, st.integers(MANY - 2, MANY + 2), st.integers(1, 1 << 60))


def ways(counts: st.SearchStrategy[int]) -> st.SearchStrategy[Buckets]:
    """Return buckets held in any way."""
    held: st.SearchStrategy[Dict[int, int]] = st.dictionaries(keys, counts, max_size=12)
    return st.one_of(held, held.map(packed).map(PackedBuckets), held.map(in_lanes))


@LAW
@given(st.dictionaries(keys, counts))
@example({})
@example({0: 1})
@example({2: 1, 0x7FFE: MANY - 1})
@example({0x3F80: MANY})
def test_lanes_hold_the_same_counts(buckets: Dict[int, int]) -> None:
    """Whether there are lanes for them or not, every key has its count, and there are no others."""
    before = dict(buckets)

    lanes = in_lanes(buckets)

    assert as_dict(lanes) == buckets == before
    assert len(lanes) == len(buckets)
    assert in_lanes(lanes) is lanes or not isinstance(lanes, Lanes)


@LAW
@given(st.dictionaries(positive, few, min_size=1))
def test_lanes_are_in_order(buckets: Dict[int, int]) -> None:
    """The lanes are all buckets from a power of two below the lowest to the highest, the empty ones included."""
    lanes = Lanes(min(buckets), 0) if max(buckets) - min(buckets) > 16000 else in_lanes(buckets)
    assert isinstance(lanes, Lanes)
    if not lanes.lanes:
        return

    assert representative(lanes.low) <= representative(min(buckets)) < 2 * representative(lanes.low)
    assert lanes.low == key_of(2.0 ** math.floor(math.log2(representative(min(buckets)))))
    assert lanes.counts() == tuple(buckets.get(key, 0) for key in range(lanes.low, max(buckets) + 2, 2))


def test_the_counts_of_no_lanes() -> None:
    """There are none, and no bucket is told."""
    assert Lanes(0, 0).counts() == ()
    assert list(Lanes(0, 0, None).items()) == []
    assert list(Lanes(0, 0, {0: 3}).items()) == [(0, 3)]


@pytest.mark.parametrize("buckets", [{0x3F80: MANY}, {0x3F80: 1, 0: MANY}, {0x82: 1, 0x7F00: 1}])
def test_what_has_no_lanes_stays_as_it_is(buckets: Dict[int, int]) -> None:
    """Counts that are too large for a lane, and keys too far apart, are not put into lanes."""
    assert in_lanes(buckets) is buckets


near = st.one_of(st.integers(8000, 8300).map(lambda half: 2 * half), others)


@LAW
@given(st.lists(st.dictionaries(near, few, max_size=12).map(in_lanes), min_size=2, max_size=8))
@example([in_lanes({0x3F90: 2, 0x3FA0: 3}), in_lanes({0x3F80: 5}), in_lanes({0: 1}), in_lanes({0x3FB0: 7, 0xBF80: 1})])
def test_a_sum_of_lanes_is_the_sum_of_each_bucket(many: List[Buckets]) -> None:
    """Wherever the lanes of each of them begin and end."""
    expected = added(many)

    total = summed(many, sum(expected.values()))
    again = summed([total, *many], 2 * sum(expected.values()))

    assert isinstance(total, Lanes)
    assert isinstance(again, Lanes)
    assert as_dict(total) == expected


@LAW
@given(st.lists(ways(counts), min_size=1, max_size=8))
@example([in_lanes({0x3F80: MANY - 1, 0x3F82: 5}), in_lanes({0x3F80: 1})])
@example([in_lanes({0x3F80: MANY - 1}), in_lanes({0x3F7E: MANY - 1})])
def test_a_sum_is_the_sum_of_each_bucket(many: List[Buckets]) -> None:
    """However each of them is held. Sums that are too large for lanes are held in another way.

    The parts stay as they are, and so does the sum when it is added to them: they are states, which are immutable.
    """
    before, expected = [as_dict(buckets) for buckets in many], added(many)

    total = summed(many, sum(expected.values()))
    twice = summed([total, *many], 2 * sum(expected.values()))

    assert as_dict(total) == expected
    assert as_dict(twice) == {key: 2 * count for key, count in expected.items()}
    assert [as_dict(buckets) for buckets in many] == before


@LAW
@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.floats(1e-300, 1e300)), min_size=1, max_size=50))
def test_quantiles_are_the_same_however_counts_are_held(values: List[float]) -> None:
    """Of lanes, of packed buckets and of a dict."""
    buckets: Dict[int, int] = {}
    for value in values:
        buckets[key_of(value)] = buckets.get(key_of(value), 0) + 1

    def found(held: Any) -> List[float]:
        return quantiles(
            Distribution(len(values), sum(values), 0.0, min(values), max(values), held), [0.001, 0.5, 0.9, 0.99, 1.0]
        )

    assert found(in_lanes(buckets)) == found(PackedBuckets(packed(buckets))) == found(buckets)
