"""Exponential buckets: every value is in the right one, and there are never too many."""

from __future__ import annotations

import math
from typing import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapes.registry import Registry
from tapes.state.distribution import Distribution
from tapes.state.exponential import MOST, SCALE, SMALLEST, Exponential, exponential

STEP = 1 + 1 / 64
"""By how much values in one bucket of tapes may differ."""


def distribution(values: Sequence[float]) -> Distribution:
    """Return the distribution of some values."""
    histogram = Registry().histogram("values")
    for value in values:
        histogram.update(value)
    found: Distribution = histogram.kind.distribution(histogram.state(histogram.recorded(0.0)))
    return found


@given(st.lists(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.floats(-5, 5)), max_size=20))
def test_each_bucket_has_the_values_between_its_bounds(values: list[float]) -> None:
    """But for those that share a bucket of tapes with a bound."""
    found = exponential(distribution(values))
    base = 2.0 ** (2.0**-found.scale)

    for counts, magnitudes in (
        (found.positive, [value for value in values if value > SMALLEST * STEP]),
        (found.negative, [-value for value in values if -value > SMALLEST * STEP]),
    ):
        for index, count in counts.items():
            low = base**index
            high = base ** (index + 1) if (index + 1) < 1024 * 2**found.scale else math.inf
            inside = sum(low * STEP < each <= high / STEP for each in magnitudes)
            near = sum(low / STEP <= each <= high * STEP for each in magnitudes)
            assert inside <= count <= near
    assert found.zero + sum(found.positive.values()) + sum(found.negative.values()) == len(values)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20), st.integers(0, 20))
def test_there_are_few_and_the_scale_only_falls(values: list[float], part: int) -> None:
    """Whatever is recorded, and whenever it is looked at."""
    before, after = exponential(distribution(values[:part])), exponential(distribution(values))

    assert after.scale <= before.scale <= SCALE
    for counts in (after.positive, after.negative):
        assert not counts or max(counts) - min(counts) < MOST


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Exponential(4, 0, {}, {})),
        ([0.0, 5e-324, -5e-324], Exponential(4, 3, {}, {})),
        ([1.01, 1.01, 2.02, -1.01], Exponential(4, 0, {0: 2, 16: 1}, {0: 1})),
        ([1.01, 2.0**20], Exponential(3, 0, {0: 1, 160: 1}, {})),
        ([1.01, 2.0**19.9], Exponential(4, 0, {0: 1, 318: 1}, {})),
    ],
    ids=["none", "zero", "both signs", "too many", "just few enough"],
)
def test_known_values(values: Sequence[float], expected: Exponential) -> None:
    """At the highest scale there are 16 buckets for each power of two, and 320 are the most."""
    assert exponential(distribution(values)) == expected
