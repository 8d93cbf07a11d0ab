"""Classic buckets: how many values are at or below each of some bounds. Pure functions."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Dict, List, Sequence, Tuple

from tapes.state.buckets import key_of, representative

if TYPE_CHECKING:
    from tapes.state.distribution import Distribution

_MOST_KEYS = 100_000  # remembered for each set of bounds


class Bounds:
    """The upper bounds of classic buckets, in ascending order. Infinity is added. Immutable.

    The bucket of tapes that holds a bound counts as a whole. So `le="b"` has every value at or below b, and none from
    b * (1 + 1/64) on.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.texts: Tuple[str, ...] = (*(repr(float(bound)) for bound in bounds), "+Inf")
        """The values of the label `le`."""
        self._limits = [representative(key_of(bound)) for bound in bounds]
        self._places: Dict[int, int] = {}

    def counts(self, distribution: Distribution) -> List[int]:
        """Return the number of values at or below each bound. The last one is that of all values."""
        places, limits = self._places, self._limits
        counts = [0] * len(self.texts)
        for key, count in distribution.buckets.items():
            place = places.get(key)
            if place is None:
                place = bisect_left(limits, representative(key))
                if len(places) < _MOST_KEYS:
                    places[key] = place
            counts[place] += count
        found = list(accumulate(counts))
        found[-1] = distribution.count
        return found


SECONDS = Bounds((0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))
"""The bounds of timers."""

ANYTHING = Bounds([digit * 10.0**power for power in range(-3, 10) for digit in (1, 2.5, 5)])
"""The bounds of histograms, which may be of anything: three a decade, from a thousandth to billions."""
