"""Quantiles of a distribution."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, List, Sequence, Tuple

from tapes.state.buckets import ascending, representative
from tapes.state.counts import Lanes

if TYPE_CHECKING:
    from tapes.state.counts import Buckets
    from tapes.state.distribution import Distribution


def quantiles(distribution: Distribution, fractions: Sequence[float]) -> List[float]:
    """Return the quantile of each of `fractions`; 0 for each if there are no values.

    Quantiles are nearest-rank: of n values, the `ceil(n * fraction)`-th smallest. The result is the representative of
    its bucket, which is within 0.8 % of that value, and limited to the exact minimum and maximum.
    """
    if not distribution.count:
        return [0.0] * len(fractions)
    keys, cumulated = _cumulated(distribution.buckets)
    found = []
    for fraction in fractions:
        rank = max(1, _ceil(distribution.count, fraction))
        # A foreign sender might send fewer values in its buckets than its count says.
        place = min(bisect_left(cumulated, rank), len(cumulated) - 1)
        value = representative(keys[place]) if place >= 0 else distribution.minimum
        found.append(min(max(value, distribution.minimum), distribution.maximum))
    return found


def _cumulated(buckets: Buckets) -> Tuple[Sequence[int], List[int]]:
    """Return the keys in the order of their values, and the number of values up to the end of each bucket."""
    if isinstance(buckets, Lanes) and not buckets.others:
        # Lanes are in order, and no rank falls into an empty one.
        counts = buckets.counts()
        return range(buckets.low, buckets.low + 2 * len(counts), 2), list(accumulate(counts))
    by_key = dict(buckets.items())
    keys = ascending(by_key)
    return keys, list(accumulate([by_key[key] for key in keys]))


def _ceil(count: int, fraction: float) -> int:
    # 0.95 is not exactly 95 / 100, so round a product that is almost a whole number.
    return math.ceil(round(count * fraction, 6))
