"""Log-linear buckets: 64 per power of two, over the whole range of floating-point numbers, of either sign.

Each bucket has an integer key. In the range of single precision (1.2e-38 to 3.4e38), the key is the upper half of the
IEEE 754 binary32 representation without its last bit: sign, eight bits of exponent, six of mantissa. The recording core
can compute these for many values at once. Beyond that range, keys from `WIDE` upwards hold sign, exponent and six bits
of mantissa as `math.frexp` returns them, subnormal numbers included.

Processes send each other these keys, so their meaning must not change.
"""

from __future__ import annotations

import math
import struct
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

STEPS = 64
"""Buckets per power of two. The worst relative error is 1 / (2 * STEPS + 1) = 0.78 %."""

SMALLEST_NARROW = 2.0**-126
"""The smallest magnitude above zero that has a narrow key: the smallest normal number of binary32."""

LARGEST_NARROW = 2.0**127 * (2 - 2.0**-7)
"""The largest magnitude with a narrow key: a little less than binary32 holds, so that rounding never reaches
infinity."""

WIDE = 1 << 16
_WIDE_NEGATIVE = 1 << 18
_WIDE_EXPONENT = 1100  # added to the exponents of frexp, -1073 to 1024, to make them positive

_NEGATIVE = 0x8000
_FLOAT = struct.Struct("<f")
_UPPER_HALF = struct.Struct("<xxH")


def key_of(value: float) -> int:
    """Return the key of the bucket of `value`, a finite number."""
    magnitude = abs(value)
    if SMALLEST_NARROW <= magnitude <= LARGEST_NARROW:
        (upper,) = _UPPER_HALF.unpack(_FLOAT.pack(value))
        return int(upper) & 0xFFFE
    if not magnitude:
        return 0
    mantissa, exponent = math.frexp(magnitude)
    key = WIDE + (exponent + _WIDE_EXPONENT) * STEPS + int((mantissa - 0.5) * 2 * STEPS)
    return key + _WIDE_NEGATIVE if value < 0 else key


def is_key(number: int) -> bool:
    """Return whether `number` is the key of a bucket."""
    if number < WIDE:
        return number >= 0 and number % 2 == 0
    return 0 <= (number - WIDE) & ~_WIDE_NEGATIVE < (sys.float_info.max_exp + _WIDE_EXPONENT + 1) * STEPS


@lru_cache(maxsize=4096)
def representative(key: int) -> float:
    """Return the value that stands for the bucket `key`: the one with the smallest worst relative error in it.

    For a bucket from a to b it is 2ab / (a + b), with an error of (b - a) / (a + b).
    """
    if key < WIDE:
        exponent = (key >> 7) & 0xFF
        if not exponent:
            return 0.0  # zero, of either sign; subnormal numbers of binary32 have wide keys
        step = (key >> 1) & (STEPS - 1)
        scale = exponent - 127
        negative = bool(key & _NEGATIVE)
    else:
        negative = key - WIDE >= _WIDE_NEGATIVE
        exponent, step = divmod((key - WIDE) & (_WIDE_NEGATIVE - 1), STEPS)
        scale = exponent - _WIDE_EXPONENT - 1
    low, high = STEPS + step, STEPS + step + 1
    magnitude = math.ldexp(2 * low * high / (low + high), scale - 6)
    return -magnitude if negative else magnitude


def ascending(keys: Iterable[int]) -> list[int]:
    """Return `keys`, sorted by the values in their buckets."""
    ordered = sorted(keys)
    if ordered and ordered[-1] >= _NEGATIVE:
        ordered.sort(key=representative)
    return ordered
