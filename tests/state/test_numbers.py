"""Arithmetic that stops at the largest number."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from random import Random
from typing import List, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapes.state.numbers import LARGEST, MOST, added, least, precise, saturated, total

LAW = settings(derandomize=True, deadline=None, database=None, max_examples=200)

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
    st.integers(1000, 5000).flatmap(lambda bits: st.sampled_from([2**bits, -(2**bits), 2**bits - 1])),
    st.sampled_from([sys.float_info.max, -sys.float_info.max, 1.7e308, -1.7e308, True, 0.5, 2**53 + 1]),
)


def exact(values: List[Union[int, float]]) -> Fraction:
    """Return the sum that a computer without limits would find, limited at the end."""
    limit = Fraction(LARGEST)
    return max(-limit, min(limit, sum(map(Fraction, values), Fraction(0))))


def rounding(values: List[Union[int, float]]) -> Fraction:
    """Return by how much a sum of floats may be off."""
    return sum((abs(Fraction(saturated(value))) for value in values), Fraction(1)) * len(values) / 2**52


@LAW
@given(first=numbers, second=numbers)
def test_a_sum_of_two_is_finite_and_right(first: float, second: float) -> None:
    """Whatever is added to whatever: the sum is right to rounding, finite, and the same in either order."""
    found = added(first, second)

    assert math.isfinite(found)
    assert abs(Fraction(found) - exact([saturated(first), saturated(second)])) <= rounding([first, second])
    assert found == added(second, first)


@LAW
@given(values=st.lists(numbers))
def test_a_sum_of_many_is_finite_and_right(values: List[float]) -> None:
    """However often a sum overflows on the way, it is right at the end."""
    found = total(values)

    assert math.isfinite(found)
    if all(abs(value) <= LARGEST for value in values):
        assert abs(Fraction(found) - exact(values)) <= rounding(values)


@pytest.mark.parametrize("value", [int(LARGEST), int(LARGEST) - 1, 2**53 + 1, -(2**64) - 1])
def test_an_int_stays_exact_up_to_the_largest_number(value: int) -> None:
    """What a float could not tell from its neighbours an int can."""
    assert added(value - 1, 1) == value
    assert total([value - 1, 1]) == value
    assert type(added(value - 1, 1)) is int


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.inf, LARGEST),
        (-math.inf, -LARGEST),
        (2**2000, LARGEST),
        (-(2**2000), -LARGEST),
        (int(LARGEST) + 1, LARGEST),
        (0.5, 0.5),
    ],
)
def test_what_is_beyond_the_largest_number_is_that_number(value: float, shown: float) -> None:
    """An infinity and an int that no float can hold become the largest number of their sign."""
    assert saturated(value) == shown


within = numbers.filter(lambda value: abs(value) <= MOST)


@LAW
@given(st.lists(within | st.integers(1, 99).map(lambda n: n / 10), min_size=1, max_size=8))
def test_a_precise_sum_is_the_nearest_number(values: List[Union[int, float]]) -> None:
    """To the exact sum, whole numbers alone exactly; and the least one from the sum on is next to it."""
    found, up, wanted = precise(values), least(values), exact(values)

    if all(isinstance(value, int) for value in values):
        assert found == up == int(wanted)
    elif sum(map(abs, map(Fraction, values))) < Fraction(LARGEST):
        assert found == float(wanted)
        assert wanted <= up <= math.nextafter(found, math.inf)
    else:
        assert abs(Fraction(found) - wanted) <= rounding(values)
        assert abs(Fraction(up) - wanted) <= rounding(values)


@LAW
@given(st.lists(st.integers(1, 999).map(lambda n: n / 10), min_size=1, max_size=30), st.randoms())
def test_a_precise_sum_does_not_depend_on_the_order(values: List[float], randomly: Random) -> None:
    """Of its parts."""
    shuffled = list(values)
    randomly.shuffle(shuffled)

    assert precise(shuffled) == precise(values)
