"""The distribution of many values: the inner loop of tapes, built from loops that the interpreter runs in C."""

from __future__ import annotations

import math
import sys
from collections import _count_elements  # type: ignore[attr-defined]  # the loop of Counter, for a plain dict
from struct import error as CannotPack  # noqa: N812  as the class that it is
from struct import pack
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from tapes.state.buckets import LARGEST_NARROW, SMALLEST_NARROW, key_of
from tapes.state.counts import merged
from tapes.state.numbers import saturated
from tapes.state.numbers import total as total_of

if TYPE_CHECKING:
    from tapes.state.distribution import Distribution

_FEW = 8  # below this many values, setting up the bulk path costs more than it saves
_CHUNK = 2048
_UPPER_HALVES = slice(1, None, 2) if sys.byteorder == "little" else slice(0, None, 2)
_KEY_BITS = int.from_bytes(pack("I", 0xFFFE0000) * _CHUNK, sys.byteorder)

# Bounds for keys of positive numbers well inside the range of single precision, which rounding does not leave.
_LEAST_ORDINARY, _GREATEST_ORDINARY = 0x0082, 0x7F7C
_NEGATIVE_ZERO = 0x8000


def distribution_of(values: List[float], onto: Distribution) -> Distribution:
    """Return the distribution of the values in `onto` and of `values`, which must not be empty.

    Costs about 80 ns a value, and ten microseconds for the call. `values` may be ints and anything else that computes
    like a float; other values raise.
    """
    count = len(values)
    minimum, maximum = onto.minimum, onto.maximum
    counted = _counted_onto(onto, values) if count >= _FEW else None
    if counted is None:
        buckets, has_new_minimum, has_new_maximum = merged(onto.buckets, _counted_with_care(values)), True, True
    else:
        buckets, has_new_minimum, has_new_maximum = counted
    if has_new_minimum:
        minimum = min(minimum, float(min(values)))
    if has_new_maximum:
        maximum = max(maximum, float(max(values)))
    if len(buckets) == 1 and min(values) == max(values):
        total, deviations = saturated(float(values[0]) * count), 0.0
    else:
        total = float(total_of(values))
        deviations = _deviations(values, total / count)
    return onto.plus(count, total, deviations, minimum, maximum, buckets)


def _deviations(values: List[float], mean: float) -> float:
    """Return the sum of the squared deviations of `values` from `mean`; infinity where it overflows."""
    distance = math.dist(values, (mean,) * len(values))
    return distance * distance


def _counted_onto(onto: Distribution, values: List[float]) -> Optional[Tuple[Dict[int, int], bool, bool]]:
    """Return the buckets of `onto` with `values`, whether there may be a new minimum, and whether a new maximum.

    Counts into a copy of the buckets, where most values find their bucket: to count separately and then merge would
    be a tenth of the whole cost. None if single precision may give wrong keys to some values, old or new.
    """
    least, greatest = (key_of(onto.minimum), key_of(onto.maximum)) if onto.count else (_GREATEST_ORDINARY, 0)
    if onto.count and not _LEAST_ORDINARY <= least <= greatest <= _GREATEST_ORDINARY:
        return None
    before = onto.buckets if isinstance(onto.buckets, dict) else dict(onto.buckets.items())
    buckets = before.copy()
    if not _count_in_bulk(buckets, values):
        return None
    if len(buckets) > len(before):
        new = buckets.keys() - before.keys()
        low, high = min(new), max(new)
        if not _LEAST_ORDINARY <= low <= high <= _GREATEST_ORDINARY:
            return None
        least, greatest = min(least, low), max(greatest, high)
    return buckets, buckets.get(least) != before.get(least), buckets.get(greatest) != before.get(greatest)


def _count_in_bulk(buckets: Dict[int, int], values: List[float]) -> bool:
    """Add `values` to `buckets` by their keys in single precision; False if a value is beyond its range."""
    for start in range(0, len(values), _CHUNK):
        chunk = values if len(values) <= _CHUNK else values[start : start + _CHUNK]
        try:
            singles = pack(f"{len(chunk)}f", *chunk)
        except (OverflowError, CannotPack):  # for floats and for ints
            return False
        # One operation on one large integer masks all bits that are not part of a key, in all values.
        keys = (int.from_bytes(singles, sys.byteorder) & _KEY_BITS).to_bytes(len(singles), sys.byteorder)
        _count_elements(buckets, memoryview(keys).cast("H")[_UPPER_HALVES])
    return True


def _counted_with_care(values: List[float]) -> Dict[int, int]:
    """Return how many of `values` are in each bucket, for values of any size."""
    buckets: Dict[int, int] = {}
    if len(values) >= _FEW and _are_narrow(values) and _count_in_bulk(buckets, values):
        if _NEGATIVE_ZERO in buckets:
            buckets[0] = buckets.get(0, 0) + buckets.pop(_NEGATIVE_ZERO)
        return buckets
    buckets = {}
    for value in values:
        key = key_of(value)
        buckets[key] = buckets.get(key, 0) + 1
    return buckets


def _are_narrow(values: List[float]) -> bool:
    """Return whether every value is zero or in the range of single precision, where bulk keys are exact."""
    magnitudes = [abs(value) for value in values if value]
    return not magnitudes or (min(magnitudes) >= SMALLEST_NARROW and max(magnitudes) <= LARGEST_NARROW)
