"""Quantiles of a distribution."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, List, Sequence

from tapes.state.buckets import ascending, representative

if TYPE_CHECKING:
    from tapes.state.distribution import Distribution


def quantiles(distribution: Distribution, fractions: Sequence[float]) -> List[float]:
    """Return the values below or at which each of `fractions` of the values lies; 0 for each if there are none.

    A quantile is nearest-rank: of n values, the `ceil(n * fraction)`-th smallest. What is returned for it is the
    representative of its bucket, which is within 0.8 % of it, and within the exact minimum and maximum.
    """
    if not distribution.count:
        return [0.0] * len(fractions)
    counts = dict(distribution.buckets.items())
    keys = ascending(counts)
    cumulated = list(accumulate(counts[key] for key in keys))
    found = []
    for fraction in fractions:
        rank = max(1, _ceil(distribution.count, fraction))
        value = representative(keys[bisect_left(cumulated, rank)])
        found.append(min(max(value, distribution.minimum), distribution.maximum))
    return found


def _ceil(count: int, fraction: float) -> int:
    # 0.95 is not 95 / 100 to the last bit: what is a whole number but for that is meant to be one.
    return math.ceil(round(count * fraction, 6))
