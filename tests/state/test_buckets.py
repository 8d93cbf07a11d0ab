"""Buckets: which value falls into which, and what stands for it."""

from __future__ import annotations

import math
import struct
import sys
from typing import List

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapes.state.buckets import (
    LARGEST_NARROW,
    SMALLEST_NARROW,
    WIDE,
    ascending,
    key_of,
    representative,
)
from tapes.state.counts import PackedBuckets, merged, packed
from tests.state.floats import ANY

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=150)

# How far a float may lie outside of its bucket, because it is rounded to single precision on the way.
ROUNDING = 2.0**-23


@LAW
@given(ANY)
@example(0.0)
@example(-0.0)
@example(5e-324)
@example(-sys.float_info.max)
@example(LARGEST_NARROW)
@example(math.nextafter(SMALLEST_NARROW, 0.0))
def test_a_bucket_is_represented_within_its_stated_error(value: float) -> None:
    """What stands for a bucket is within 1/129 of every value in it; of subnormal numbers within a unit as well."""
    found = representative(key_of(value))

    assert abs(found - value) <= abs(value) * (1 / 129 + ROUNDING) + 5e-324


@LAW
@given(ANY, ANY)
def test_a_larger_value_is_never_represented_by_a_smaller_one(one: float, other: float) -> None:
    """Buckets keep the order of the values in them."""
    smaller, larger = sorted((one, other))

    assert representative(key_of(smaller)) <= representative(key_of(larger))


@LAW
@given(st.lists(ANY, max_size=40))
def test_ascending_sorts_by_value(values: List[float]) -> None:
    """Keys come in the order of the values in their buckets, whatever the order of the keys themselves is."""
    keys = ascending({key_of(value) for value in values})

    assert set(keys) == {key_of(value) for value in values}
    assert [representative(key) for key in keys] == sorted(representative(key) for key in keys)


def test_keys_have_not_changed() -> None:
    """The keys are what processes send to each other: these are golden."""
    keys = [key_of(value) for value in (1.0, -1.0, 0.015, 1e9, 3e38, 5e-324, -5e-324, 1e39, -1e308, 1e-300)]

    assert keys == [16256, 49024, 15476, 20078, 32608, 67264, 329408, 144286, 463623, 72213]


@LAW
@given(st.integers(0, 0x7F7E // 2))
def test_a_narrow_key_is_half_of_a_single(half: int) -> None:
    """A narrow key is the upper half of a binary32 number, without its last bit."""
    key = half * 2
    (value,) = struct.unpack("<f", struct.pack("<xxH", key))

    assert key_of(value) == key or value < SMALLEST_NARROW


@LAW
@given(st.dictionaries(st.integers(0, 1 << 19), st.integers(1, 1 << 60)))
def test_packed_buckets_are_the_same_buckets(buckets: dict[int, int]) -> None:
    """Packing keeps every key and every count."""
    found = PackedBuckets(packed(buckets))

    assert dict(found.items()) == buckets
    assert len(found) == len(buckets)
    assert merged(found, {WIDE: 1}) == merged(buckets, {WIDE: 1})
    assert packed(found) == packed(buckets)


@LAW
@given(
    st.dictionaries(st.integers(0, 20), st.integers(1, 100)), st.dictionaries(st.integers(0, 20), st.integers(1, 100))
)
def test_merged_buckets_are_the_sum_of_both(first: dict[int, int], second: dict[int, int]) -> None:
    """Merging adds counts by key, and leaves both arguments as they are."""
    before = dict(first), dict(second)

    together = merged(first, second)

    assert together == {key: first.get(key, 0) + second.get(key, 0) for key in first.keys() | second.keys()}
    assert (first, second) == before
