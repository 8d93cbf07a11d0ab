"""Buckets: which value falls into which, and what stands for it."""

from __future__ import annotations

import math
import random
import struct
import sys
from collections import Counter
from typing import List

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tapes.recording.counting import distribution_of
from tapes.state.buckets import (
    LARGEST_NARROW,
    SMALLEST_NARROW,
    WIDE,
    ascending,
    key_of,
    representative,
)
from tapes.state.counts import PackedBuckets, merged, packed
from tapes.state.distribution import EMPTY

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=150)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NEAR_AN_EDGE = st.builds(
    lambda edge, ulps, sign: sign * edge * (1 + ulps * sys.float_info.epsilon),
    st.sampled_from([SMALLEST_NARROW, LARGEST_NARROW, 2.0**-127, 2.0**127, 1.0, 2.0**-1022, 1 + 1 / 64]),
    st.integers(-(1 << 30), 1 << 30),
    st.sampled_from([1, -1]),
)
SINGLES = st.floats(allow_nan=False, allow_infinity=False, width=32)
ANY = st.one_of(FINITE, NEAR_AN_EDGE, SINGLES)

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


def test_ascending_over_all_ranges() -> None:
    """Wide and narrow keys of both signs are put into one order."""
    values = [-1e308, -1e39, -3e38, -1.0, -1e-37, -1e-39, -5e-324, 0.0, 5e-324, 1e-39, 1e-37, 1.0, 3e38, 1e39, 1e308]

    assert ascending(key_of(value) for value in reversed(values)) == [key_of(value) for value in values]


@pytest.mark.parametrize("repetitions", [1, 8, 2500])
@LAW
@given(value=ANY)
@example(value=math.nextafter(SMALLEST_NARROW, 0.0))
@example(value=SMALLEST_NARROW * (1 - 2.0**-30))
@example(value=SMALLEST_NARROW)
@example(value=LARGEST_NARROW)
@example(value=math.nextafter(LARGEST_NARROW, math.inf))
@example(value=3.4e38)
@example(value=-3.4e38)
@example(value=3.4028235677973366e38)
@example(value=1e39)
@example(value=-0.0)
@example(value=2.0**-149)
@example(value=sys.float_info.max)
def test_counting_in_bulk_finds_the_same_bucket(repetitions: int, value: float) -> None:
    """A value counted with many others falls into the bucket that it falls into alone."""
    found = distribution_of([value] * repetitions, EMPTY)

    assert dict(found.buckets.items()) == {key_of(value): repetitions}


@LAW
@given(st.lists(ANY, min_size=8, max_size=60))
def test_counting_in_bulk_counts_each_value_once(values: List[float]) -> None:
    """Values of all sizes and signs together are counted into the same buckets as one by one."""
    assert dict(distribution_of(values, EMPTY).buckets.items()) == Counter(map(key_of, values))


def test_both_zeros_share_a_bucket() -> None:
    """0.0 and -0.0 are the same value."""
    assert key_of(-0.0) == key_of(0.0) == 0
    assert dict(distribution_of([0.0, -0.0] * 8, EMPTY).buckets.items()) == {0: 16}


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


NEAR = [0.0, -0.0, 2.0**-140, 1.0, 1.0000001, 1.01, -1.0, 2.0**-127, 2.0**-126, 3.4e38, 1e300, 7]


@pytest.mark.parametrize("seed", range(40))
def test_batches_are_counted_as_all_values_together(seed: int) -> None:
    """Whatever is new in a batch: an extreme in a known bucket or another, zero, a sign, beyond single floats."""
    some = random.Random(seed)
    ordinary = [some.lognormvariate(0, 1) for _ in range(30)]
    batches = [
        [some.choice(some.choice([ordinary, NEAR])) for _ in range(some.choice([1, 8, 40]))]
        if number % 2
        else [some.choice(ordinary) * some.choice([1.0, 1.0001, 0.9999]) for _ in range(some.choice([8, 40]))]
        for number in range(6)
    ]
    found = EMPTY
    for batch in batches:
        found = distribution_of(batch, found)
    values = [value for batch in batches for value in batch]

    assert dict(found.buckets.items()) == Counter(map(key_of, values))
    assert (found.count, found.minimum, found.maximum) == (len(values), min(values), max(values))


def test_what_is_nearly_zero_is_no_zero_after_one() -> None:
    """Single precision makes zero of it, whose bucket is there already."""
    found = distribution_of([2.0**-150, 1.0] * 8, distribution_of([0.0, 1.0] * 8, EMPTY))

    assert dict(found.buckets.items()) == {0: 8, key_of(2.0**-150): 8, key_of(1.0): 16}
