"""Exponential buckets, as native histograms of Prometheus and those of OpenTelemetry have them. Pure functions.

At a scale s the bucket with the index i has the values above base**i, up to base**(i + 1), with base = 2**(2**-s). At
the next lower scale two neighbours are one. (OpenTelemetry, Metrics Data Model, Exponential Histogram. In Prometheus
the same bucket has the index i + 1, and the scale is called schema.)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Dict, NamedTuple

from tapes.state.buckets import representative

if TYPE_CHECKING:
    from tapes.state.distribution import Distribution

SCALE = 4
"""The scale of buckets where there are few enough: a bucket is then 4.4 % wide."""

MOST = 320
"""The most buckets from the first to the last of one sign: at the highest scale, numbers from one to a million."""

SMALLEST = 2.0**-128
"""Values up to this one, of either sign, are in the bucket of zero."""

_MOST_KEYS = 100_000  # remembered
_indexes: Dict[int, int] = {}


class Exponential(NamedTuple):
    """The counts of some values, by exponential buckets."""

    scale: int
    zero: int
    """How many values are zero, or as near to it as `SMALLEST`."""
    positive: Dict[int, int]
    """The number of values by index, of those buckets that have any."""
    negative: Dict[int, int]
    """The same of the magnitudes of negative values."""


def exponential(distribution: Distribution) -> Exponential:
    """Return the values of a distribution in exponential buckets.

    Each bucket of tapes goes whole where its representative falls. The scale is the highest with few enough buckets: it
    never rises again, as the distribution since the start only grows.
    """
    zero = 0
    positive: Dict[int, int] = {}
    negative: Dict[int, int] = {}
    for key, count in distribution.buckets.items():
        value = representative(key)
        if abs(value) <= SMALLEST:
            zero += count
            continue
        index = _index(key, abs(value))
        counts = negative if value < 0 else positive
        counts[index] = counts.get(index, 0) + count
    scale = SCALE
    while max(_width(positive), _width(negative)) > MOST:
        scale -= 1
        positive, negative = _merged(positive), _merged(negative)
    return Exponential(scale, zero, positive, negative)


def _index(key: int, magnitude: float) -> int:
    index = _indexes.get(key)
    if index is None:
        index = math.ceil(math.log2(magnitude) * 2**SCALE) - 1
        if len(_indexes) < _MOST_KEYS:
            _indexes[key] = index
    return index


def _width(counts: Dict[int, int]) -> int:
    return max(counts) - min(counts) + 1 if counts else 0


def _merged(counts: Dict[int, int]) -> Dict[int, int]:
    merged: Dict[int, int] = {}
    for index, count in counts.items():
        merged[index >> 1] = merged.get(index >> 1, 0) + count
    return merged
