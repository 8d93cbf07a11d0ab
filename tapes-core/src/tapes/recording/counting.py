"""Many values made into one distribution: the inner loop of tapes, in terms of loops that the interpreter has in C."""

from __future__ import annotations

import math
import sys
from collections import _count_elements  # type: ignore[attr-defined]  # the loop of Counter, for a plain dict
from struct import error as CannotPack  # noqa: N812  as the class that it is
from struct import pack
from typing import TYPE_CHECKING, Dict, List

from tapes.state.buckets import LARGEST_NARROW, SMALLEST_NARROW, key_of, representative
from tapes.state.counts import merged
from tapes.state.numbers import saturated
from tapes.state.numbers import total as total_of

if TYPE_CHECKING:
    from tapes.state.distribution import Distribution

_FEW = 8  # values for which the set-up of the bulk path costs more than it saves
_CHUNK = 2048
_UPPER_HALVES = slice(1, None, 2) if sys.byteorder == "little" else slice(0, None, 2)
_KEY_BITS = int.from_bytes(pack("I", 0xFFFE0000) * _CHUNK, sys.byteorder)

# The keys of positive numbers well inside the range of single precision, where rounding to it does not lead out of it.
_LEAST_ORDINARY, _GREATEST_ORDINARY = 0x0082, 0x7F7C
_NEGATIVE_ZERO = 0x8000


def distributed(values: List[float], onto: Distribution) -> Distribution:
    """Return the distribution of the values in `onto` and of `values`, of which there is at least one.

    Costs about 80 ns a value, and ten microseconds for the call. `values` may be ints and whatever else computes as
    floats do; anything that does not raises.
    """
    count = len(values)
    buckets = _counted_in_bulk(values) if count >= _FEW else {}
    least, greatest = (min(buckets), max(buckets)) if buckets else (0, 0)
    ordinary = least >= _LEAST_ORDINARY and greatest <= _GREATEST_ORDINARY
    if not ordinary:
        buckets = _counted_with_care(values, buckets)
    # Where all values are ordinary, the keys mostly tell that there is no new extreme. The factors allow for their
    # width.
    no_new_minimum = ordinary and representative(least) * 0.99 > onto.minimum
    no_new_maximum = ordinary and representative(greatest) * 1.01 < onto.maximum
    minimum = onto.minimum if no_new_minimum else float(min(values))
    maximum = onto.maximum if no_new_maximum else float(max(values))
    if len(buckets) == 1 and min(values) == max(values):
        total, deviations = saturated(float(values[0]) * count), 0.0
    else:
        total = float(total_of(values))
        deviations = _deviations(values, total / count)
    return onto.plus(count, total, deviations, minimum, maximum, merged(onto.buckets, buckets))


def _deviations(values: List[float], mean: float) -> float:
    """Return the sum of the squared deviations of `values` from `mean`; infinity where it overflows."""
    distance = math.dist(values, [mean] * len(values))
    return distance * distance


def _counted_in_bulk(values: List[float]) -> Dict[int, int]:
    """Return how many of `values` have which key in single precision; nothing if one of them is beyond it."""
    buckets: Dict[int, int] = {}
    for start in range(0, len(values), _CHUNK):
        chunk = values if len(values) <= _CHUNK else values[start : start + _CHUNK]
        try:
            singles = pack(f"{len(chunk)}f", *chunk)
        except (OverflowError, CannotPack):  # of floats, of ints
            return {}
        # One operation on one large integer strips all of them of what is not part of a key.
        keys = (int.from_bytes(singles, sys.byteorder) & _KEY_BITS).to_bytes(len(singles), sys.byteorder)
        _count_elements(buckets, memoryview(keys).cast("H")[_UPPER_HALVES])
    return buckets


def _counted_with_care(values: List[float], in_bulk: Dict[int, int]) -> Dict[int, int]:
    """Return how many of `values` are in each bucket, from what was counted in bulk if that is right."""
    if in_bulk and _are_narrow(values):
        if _NEGATIVE_ZERO in in_bulk:
            in_bulk[0] = in_bulk.get(0, 0) + in_bulk.pop(_NEGATIVE_ZERO)
        return in_bulk
    buckets: Dict[int, int] = {}
    for value in values:
        key = key_of(value)
        buckets[key] = buckets.get(key, 0) + 1
    return buckets


def _are_narrow(values: List[float]) -> bool:
    """Whether all of `values` are zero or in the range of single precision, where their bulk keys are right."""
    magnitudes = [abs(value) for value in values if value]
    return not magnitudes or (min(magnitudes) >= SMALLEST_NARROW and max(magnitudes) <= LARGEST_NARROW)
