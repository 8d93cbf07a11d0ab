"""Distributions: the mergeable summaries of values in histograms and timers."""

from __future__ import annotations

import math
from struct import Struct
from typing import Optional, Sequence

from tapes.state.buckets import representative
from tapes.state.counts import Buckets, PackedBuckets, packed, summed, without
from tapes.state.numbers import LARGEST, added, saturated
from tapes.state.numbers import total as total_of

_SQUARABLE = math.sqrt(LARGEST)
"""The largest deviation whose square is finite."""

_SMALL = 2.0**-640  # scales any number so that its squares can be added


class Distribution:
    """Count, sum, squared deviations, extremes and bucket counts of some values. Immutable.

    `merge` is commutative and associative: exactly for counts, extremes and buckets, to float rounding for sums.
    """

    __slots__ = ("buckets", "count", "deviations", "maximum", "minimum", "sum")

    def __init__(
        self, count: int, total: float, deviations: float, minimum: float, maximum: float, buckets: Buckets
    ) -> None:
        self.count = count
        """The number of values."""
        self.sum = total
        """Their sum."""
        self.deviations = deviations
        """The sum of the squares of their deviations from their mean."""
        self.minimum = minimum
        """The smallest value, infinity if there is none."""
        self.maximum = maximum
        """The largest value, minus infinity if there is none."""
        self.buckets = buckets
        """The number of values in each bucket, by the keys of `tapes.state.buckets`."""

    def merge(self, other: Distribution) -> Distribution:
        """Return the distribution of the values of both."""
        return union((self, other))

    def minus(self, part: Distribution) -> Distribution:
        """Return the distribution of the values that are not in `part`, a part of this distribution.

        Exact for counts and buckets, to float rounding for sums. The extremes stay those of all values, because those
        of the rest are unknown.
        """
        if not part.count:
            return self
        count = self.count - part.count
        if not count:
            return EMPTY
        total = added(self.sum, -part.sum)
        apart = total / count - part.sum / part.count
        between = saturated(apart * apart * (part.count * (count / self.count)))
        deviations = self.deviations - part.deviations - between
        buckets = without(self.buckets, part.buckets)
        return Distribution(count, total, max(deviations, 0.0), self.minimum, self.maximum, buckets)

    def plus(
        self, count: int, total: float, deviations: float, minimum: float, maximum: float, buckets: Buckets
    ) -> Distribution:
        """Return the distribution with at least one more value.

        `buckets` are those of all values, old and new; the other arguments describe only the new values. The deviations
        are merged as in Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances (1979).
        """
        if self.count:
            apart = total / count - self.sum / self.count
            deviations += self.deviations + apart * apart * (self.count * (count / (self.count + count)))
        return Distribution(
            self.count + count,
            added(self.sum, total),
            min(deviations, LARGEST),
            min(self.minimum, minimum),
            max(self.maximum, maximum),
            buckets,
        )

    def packed(self) -> bytes:
        """Return the distribution as bytes, for `unpacked`."""
        return _NUMBERS.pack(self.count, self.sum, self.deviations, self.minimum, self.maximum) + packed(self.buckets)

    @property
    def mean(self) -> float:
        """The arithmetic mean, 0 if there are no values."""
        return self.sum / self.count if self.count else 0.0

    @property
    def stddev(self) -> float:
        """The standard deviation of exactly these values (not an estimate from a sample), 0 if there are none.

        If their squares would exceed the largest number, it is computed from the buckets: within 0.8 % of the largest
        value.
        """
        if not self.count or self.minimum == self.maximum:
            return 0.0
        if (self.maximum / 2 - self.minimum / 2) * math.sqrt(self.count) < _SQUARABLE / 2:
            return math.sqrt(self.deviations / self.count)
        return self._stddev_of_buckets()

    def _stddev_of_buckets(self) -> float:
        least, most = self.minimum * _SMALL, self.maximum * _SMALL
        scaled = [(min(max(representative(key) * _SMALL, least), most), number) for key, number in self.buckets.items()]
        count = sum([number for _, number in scaled]) or 1  # a foreign sender might send no buckets
        mean = math.fsum([value * number for value, number in scaled]) / count
        variance = math.fsum([(value - mean) * (value - mean) * number for value, number in scaled]) / count
        return min(math.sqrt(variance), LARGEST * _SMALL) / _SMALL

    def __repr__(self) -> str:
        return f"<Distribution of {self.count} values, sum {self.sum}>"


_NUMBERS = Struct("=q4d")  # a distribution without its buckets


def unpacked(distribution: bytes, buckets: Optional[Buckets] = None) -> Distribution:
    """Return the distribution of these bytes from `packed()`. `buckets` are its buckets, if known."""
    if buckets is None:
        buckets = PackedBuckets(distribution[_NUMBERS.size :])
    count, total, deviations, minimum, maximum = _NUMBERS.unpack_from(distribution)
    return Distribution(count, total, deviations, minimum, maximum, buckets)


def union(parts: Sequence[Distribution]) -> Distribution:
    """Return the distribution of the values of all `parts`.

    Costs less than merging one after the other. The squared deviations are those of values from the mean of their part,
    plus those of the means of the parts from the common mean.
    """
    parts = [part for part in parts if part.count]
    if len(parts) < 2:
        return parts[0] if parts else EMPTY
    count = sum([part.count for part in parts])
    total = total_of([part.sum for part in parts])
    mean = total / count
    deviations = sum([part.deviations + part.count * (apart := part.sum / part.count - mean) * apart for part in parts])
    return Distribution(
        count,
        total,
        saturated(deviations),
        min([part.minimum for part in parts]),
        max([part.maximum for part in parts]),
        summed([part.buckets for part in parts], count),
    )


EMPTY = Distribution(0, 0.0, 0.0, math.inf, -math.inf, {})
"""The distribution of no values."""
