"""Arithmetic that saturates at the largest float, which every JSON reader and StatsD can hold.

Ints stay exact up to there. All functions take any mix of ints and floats, raise nothing and never return infinity.
"""

from __future__ import annotations

import math
import sys
from typing import Sequence

LARGEST = sys.float_info.max
"""The largest number that is recorded, merged or shown: about 1.8e308."""

MOST = int(LARGEST)
"""The largest count."""

_SCALE = 2.0**-64  # leaves room for a sum of as many values as memory can hold


def saturated(value: float) -> float:
    """Return `value`; beyond the largest number, as with infinities, that number with its sign. Not for NaN."""
    if -LARGEST <= value <= LARGEST:
        return value
    return -LARGEST if value < 0 else LARGEST


def added(first: float, second: float) -> float:
    """Return the sum of two numbers, saturated."""
    try:
        found = first + second
        if -LARGEST <= found <= LARGEST:
            return found
    except OverflowError:  # an int is too large to add to a float
        pass
    return saturated(saturated(first) + saturated(second))


def total(values: Sequence[float]) -> float:
    """Return the sum of finite numbers, saturated. As fast as `sum`, unless that overflows."""
    try:
        found = sum(values)
        if found - found == 0:
            return saturated(found)
    except OverflowError:
        pass
    return saturated(math.fsum([saturated(value) * _SCALE for value in values]) / _SCALE)
