"""Numbers as StatsD reads them."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapes.reporting.statsd.numbers import plain, signed

LARGEST = sys.float_info.max


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (5, "5"),
        (-5, "-5"),
        (True, "1"),
        (5.0, "5"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-7, "0.0000001"),
        (-1.5e-7, "-0.00000015"),
        (1e21, "1000000000000000000000"),
        (2**53 + 1, "9007199254740993"),
        (12345678.875, "12345678.875"),
    ],
)
def test_a_number_is_written_plainly(value: float, text: str) -> None:
    """No exponent, no needless zeros, no sign on zero, and every digit that is needed."""
    assert plain(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_read_back_as_the_very_same(value: float) -> None:
    """Nothing is rounded, from the smallest double to the largest."""
    assert float(plain(value)) == value
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", plain(value))


@given(st.integers())
def test_an_int_is_read_back_as_the_very_same(value: int) -> None:
    """All digits are there."""
    assert int(plain(value)) == value


@pytest.mark.parametrize("value", [10**400, float("inf"), 10**5000], ids=["int", "infinity", "huge int"])
def test_what_no_double_can_hold_is_the_largest(value: float) -> None:
    """A number beyond all doubles arrives as the largest of its sign."""
    assert float(plain(value)) == LARGEST
    assert float(plain(-value)) == -LARGEST


@pytest.mark.parametrize(("value", "text"), [(3, "+3"), (-3, "-3"), (0.5, "+0.5"), (-1e-7, "-0.0000001")])
def test_a_change_has_its_sign(value: float, text: str) -> None:
    """A change is written with a plus or a minus."""
    assert signed(value) == text
