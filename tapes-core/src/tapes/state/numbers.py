"""Arithmetic that stops at the largest number, which every float, JSON reader and StatsD can hold.

Ints stay exact up to there. All functions take ints and floats of whatever mix, raise nothing and return no infinity.
"""

from __future__ import annotations

import math
import sys
from typing import Sequence

LARGEST = sys.float_info.max
"""The largest number that is recorded, merged or shown: about 1.8e308."""

MOST = int(LARGEST)
"""The largest count."""

_SCALE = 2.0**-64  # leaves room for the sum of as many values as memory can hold


def saturated(value: float) -> float:
    """Return `value`, or the largest number of its sign if it is beyond that, as infinities are. Not for NaN."""
    if -LARGEST <= value <= LARGEST:
        return value
    return -LARGEST if value < 0 else LARGEST


def added(first: float, second: float) -> float:
    """Return the sum of two numbers, saturated."""
    try:
        found = first + second
        if -LARGEST <= found <= LARGEST:
            return found
    except OverflowError:  # an int that is too large for the float beside it
        pass
    return saturated(saturated(first) + saturated(second))


def total(values: Sequence[float]) -> float:
    """Return the sum of finite numbers, saturated. Costs what `sum` does unless that overflows on the way."""
    try:
        found = sum(values)
        if found - found == 0:
            return saturated(found)
    except OverflowError:
        pass
    return saturated(math.fsum([saturated(value) * _SCALE for value in values]) / _SCALE)
