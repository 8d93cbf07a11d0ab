"""How values are spread: the mergeable summary that histograms and timers are made of."""

from __future__ import annotations

import math
import sys

from tapes.state.buckets import Buckets, PackedBuckets, merged

_LARGEST = sys.float_info.max


class Distribution:
    """Count, sum, squared deviations, extremes and bucket counts of some values. Immutable.

    `merge` is commutative and associative: counts, extremes and buckets exactly, sums to float rounding.
    """

    __slots__ = ("buckets", "count", "deviations", "maximum", "minimum", "sum")

    def __init__(
        self, count: int, total: float, deviations: float, minimum: float, maximum: float, buckets: Buckets
    ) -> None:
        self.count = count
        """How many values there are."""
        self.sum = total
        """Their sum."""
        self.deviations = deviations
        """The sum of the squares of their deviations from their mean."""
        self.minimum = minimum
        """The smallest of them, infinity if there is none."""
        self.maximum = maximum
        """The largest of them, minus infinity if there is none."""
        self.buckets = buckets
        """How many of them are in each bucket, by the keys of `tapes.state.buckets`."""

    def merge(self, other: Distribution) -> Distribution:
        """Return the distribution of the values of both."""
        if not other.count:
            return self
        if not self.count:
            return other
        return self.plus(
            other.count, other.sum, other.deviations, other.minimum, other.maximum, merged(self.buckets, other.buckets)
        )

    def plus(
        self, count: int, total: float, deviations: float, minimum: float, maximum: float, buckets: Buckets
    ) -> Distribution:
        """Return the distribution with some more values, of which there is at least one.

        `buckets` are those of all values together, the other arguments describe the further values alone. The
        deviations are merged as in Chan, Golub and LeVeque, Updating Formulae and a Pairwise Algorithm for Computing
        Sample Variances (1979).
        """
        if self.count:
            apart = total / count - self.sum / self.count
            deviations += self.deviations + apart * apart * (self.count * (count / (self.count + count)))
        return Distribution(
            self.count + count,
            _bounded(self.sum + total),
            _bounded(deviations),
            min(self.minimum, minimum),
            max(self.maximum, maximum),
            buckets,
        )

    def packed(self) -> Distribution:
        """Return the same distribution in less memory, for one that will be kept."""
        if isinstance(self.buckets, PackedBuckets):
            return self
        return Distribution(
            self.count, self.sum, self.deviations, self.minimum, self.maximum, PackedBuckets(self.buckets)
        )

    @property
    def mean(self) -> float:
        """The arithmetic mean, 0 if there are no values."""
        return self.sum / self.count if self.count else 0.0

    @property
    def stddev(self) -> float:
        """The standard deviation of these very values (not an estimate from a sample), 0 if there are none."""
        return math.sqrt(self.deviations / self.count) if self.count else 0.0

    def __repr__(self) -> str:
        return f"<Distribution of {self.count} values, sum {self.sum}>"


def _bounded(value: float) -> float:
    """Return `value`, or the largest finite number of its sign where it has overflowed."""
    if value - value == 0:
        return value
    return -_LARGEST if value < 0 else _LARGEST


EMPTY = Distribution(0, 0.0, 0.0, math.inf, -math.inf, {})
"""The distribution of no values."""
