"""Distributions of many parts made into one, and what is left when a part is taken out."""

from __future__ import annotations

import math
import random
import statistics
import sys
from typing import Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.recording import distribution_of
from tapes.state.counts import Lanes, in_lanes
from tapes.state.distribution import EMPTY, Distribution, union, unpacked

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=100)

values = st.one_of(st.floats(-1e6, 1e6), st.integers(-1000, 1000).map(float), st.floats(1e-200, 1e-190))
parts = st.lists(st.lists(values, max_size=12), max_size=8)


def distribution(found: List[float]) -> Distribution:
    """Return the distribution of some values."""
    return distribution_of(found, EMPTY) if found else EMPTY


def laned(part: Distribution) -> Distribution:
    """Return the same distribution as an aggregator holds it."""
    return Distribution(part.count, part.sum, part.deviations, part.minimum, part.maximum, in_lanes(part.buckets))


def buckets_of(part: Distribution) -> Dict[int, int]:
    """Return the counts by bucket."""
    return dict(part.buckets.items())


def assert_alike(one: Distribution, other: Distribution) -> None:
    """Check that two distributions are the same: counts and extremes exactly, sums to rounding."""
    assert (one.count, one.minimum, one.maximum) == (other.count, other.minimum, other.maximum)
    assert buckets_of(one) == buckets_of(other)
    assert math.isclose(one.sum, other.sum, rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(one.deviations, other.deviations, rel_tol=1e-9, abs_tol=1e-3)


@LAW
@given(parts)
def test_a_union_is_the_distribution_of_all_values(found: List[List[float]]) -> None:
    """However the values were parted, and however their counts are held."""
    whole = distribution([value for part in found for value in part])

    assert_alike(union([distribution(part) for part in found]), whole)
    assert_alike(union([laned(distribution(part)) for part in found]), whole)


@LAW
@given(parts, st.randoms(use_true_random=False))
def test_a_union_does_not_depend_on_the_order(found: List[List[float]], source: random.Random) -> None:
    """Neither of the parts, nor of unions of them."""
    made = [distribution(part) for part in found]
    other = made[:]
    source.shuffle(other)

    assert_alike(union(made), union(other))
    assert_alike(union([union(made[:3]), union(made[3:])]), union(made))


def test_a_union_of_one_part_is_that_part() -> None:
    """And the union of none is the empty distribution."""
    part = distribution([1.0, 2.0])

    assert union([]) is EMPTY
    assert union([EMPTY, EMPTY]) is EMPTY
    assert union([EMPTY, part, EMPTY]) is part


def test_sums_that_overflow_are_as_large_as_a_number_can_be() -> None:
    """What is merged is finite, and what it is merged with further on, too."""
    huge = distribution([1.7e308, -1.7e308, 1.7e308])
    total = union([huge, huge, huge])

    for part in (total, union([total, total]), total.minus(huge), total.minus(huge).minus(huge)):
        assert math.isfinite(part.sum)
        assert math.isfinite(part.deviations)
        assert part.deviations >= 0


@LAW
@given(st.lists(values, max_size=20), st.lists(values, max_size=20))
def test_less_takes_out_what_was_put_in(kept: List[float], taken: List[float]) -> None:
    """What is left has the counts and buckets of the rest exactly, and its sums to rounding."""
    whole = distribution(kept + taken)
    for part in (distribution(taken), laned(distribution(taken))):
        left = whole.minus(part)

        assert (left.count, buckets_of(left)) == (len(kept), buckets_of(distribution(kept)))
        assert math.isclose(left.sum, math.fsum(kept), rel_tol=1e-9, abs_tol=1e-6)
        assert math.isclose(left.deviations, distribution(kept).deviations, rel_tol=1e-6, abs_tol=1e-2)
        assert left.deviations >= 0


def test_less_does_not_know_the_extremes() -> None:
    """They are those of the whole, which hold what is left."""
    left = distribution([1.0, 5.0, 9.0]).minus(distribution([1.0, 9.0]))

    assert (left.minimum, left.maximum) == (1.0, 9.0)


def test_less_of_nothing_and_of_everything() -> None:
    """Without nothing it is itself, without everything it is empty."""
    whole = distribution([1.0, 2.0])

    assert whole.minus(EMPTY) is whole
    assert whole.minus(distribution([2.0, 1.0])) is EMPTY
    assert EMPTY.minus(EMPTY) is EMPTY


def test_less_leaves_both_as_they_are() -> None:
    """They are immutable."""
    whole, part = distribution([1.0, 2.0, 2.0]), distribution([2.0])
    before = buckets_of(whole), buckets_of(part)

    whole.minus(part)

    assert (buckets_of(whole), buckets_of(part)) == before


@pytest.mark.parametrize("repetitions", [3, 100])
def test_what_was_merged_and_taken_out_again_does_not_add_up_to_more(repetitions: int) -> None:
    """A difference can be merged again: union(less(part), part) is the whole, time after time."""
    whole = distribution([0.1 * number for number in range(100)])
    part = distribution([0.1 * number for number in range(0, 100, 3)])
    result = whole
    for _ in range(repetitions):
        result = union([result.minus(part), part])

    assert_alike(result, whole)


@pytest.mark.parametrize("scale", [1e150, 1e154, 1e155, 1e200, 1e300, 1e307])
@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0],
        [-17.9, 17.9],
        [1.0] * 99 + [17.0],
        [float(number) / 100 for number in range(1, 1700)],
        [float(number) / 100 for number in range(-1700, 1700, 3)],
        [0.0, 1e-300, 17.0],
    ],
    ids=["two", "both ends", "one apart", "many", "of both signs", "near zero"],
)
def test_the_deviation_of_values_whose_squares_overflow(values: List[float], scale: float) -> None:
    """It is that of the values for all that, however they are put together, and taken apart again."""
    scaled = [value * scale for value in values]
    expected = statistics.pstdev(values) * scale
    whole = distribution_of(scaled, EMPTY)
    half = len(scaled) // 2
    first, second = distribution_of(scaled[:half], EMPTY), distribution_of(scaled[half:], EMPTY)
    again = union([first, whole.minus(first)])

    largest = max(map(abs, scaled))
    for found in (whole, first.merge(second), union([second, first]), unpacked(whole.packed()), again):
        assert abs(found.stddev - expected) <= 0.0079 * largest


def test_the_deviation_of_equal_values_is_none_however_large() -> None:
    """They are their own mean."""
    largest = distribution_of([sys.float_info.max] * 10, EMPTY)

    assert largest.merge(largest).stddev == 0.0


def test_a_union_of_lanes_is_in_lanes() -> None:
    """So that the next union costs as little."""
    made = [laned(distribution([1.0 * number, 2.0])) for number in range(1, 5)]

    assert isinstance(union(made).buckets, Lanes)
