"""Arithmetic that saturates at the largest float, which every JSON reader and StatsD can hold.

Ints stay exact up to there. All functions take any mix of ints and floats, raise nothing and never return infinity.
"""

from __future__ import annotations

import math
import sys
from typing import List, Sequence

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


_WHOLE = 1 << 53  # all ints up to here are floats


def precise(values: Sequence[float]) -> float:
    """Return the sum of finite numbers as the nearest float, or exactly for ints alone; saturated.

    It does not depend on their order, and never falls when one of them grows.
    """
    try:
        found = sum(values)
        return saturated(found if isinstance(found, int) else math.fsum(_floats(values)))
    except OverflowError:
        return total(values)


def least(values: Sequence[float]) -> float:
    """Return the smallest number from the sum of finite numbers on: the sum of ints, or else a float; saturated."""
    found = precise(values)
    if isinstance(found, int) or abs(found) >= LARGEST:
        return found
    try:
        return math.nextafter(found, math.inf) if math.fsum([*_floats(values), -found]) > 0 else found
    except OverflowError:
        return found


def _floats(values: Sequence[float]) -> Sequence[float]:
    """Return floats with the same sum."""
    if not any(isinstance(value, int) and not -_WHOLE <= value <= _WHOLE for value in values):
        return values
    parts: List[float] = []
    for value in values:
        rest = value
        while rest and isinstance(rest, int):
            part = float(rest)
            parts.append(part)
            rest -= int(part)
        parts.append(rest)
    return parts
