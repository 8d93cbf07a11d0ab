"""The state of a gauge, and the ways in which the gauges of several processes make one."""

from __future__ import annotations

import math
from typing import Any, Optional, Tuple

from tapes.state.numbers import added

MERGES = ("sum", "min", "max", "mean", "last")
"""How the values of several processes may be combined."""


class GaugeState:
    """The values of one gauge in some processes, summed up so that any of `MERGES` can be told. Immutable."""

    __slots__ = ("last", "last_at", "maximum", "minimum", "parts", "sum")

    def __init__(
        self, parts: int, total: float, minimum: float, maximum: float, last: Optional[float], last_at: float
    ) -> None:
        self.parts = parts
        """How many processes have a value."""
        self.sum = total
        self.minimum = minimum
        self.maximum = maximum
        self.last = last
        """The value that was set last, None if none was."""
        self.last_at = last_at
        """When that was, in seconds of the monotonic clock."""

    def merge(self, other: GaugeState) -> GaugeState:
        """Return the state of both together."""
        newer, older = (self, other) if self._recency() >= other._recency() else (other, self)
        return GaugeState(
            self.parts + other.parts,
            added(self.sum, other.sum),
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            newer.last if newer.parts else older.last,
            max(self.last_at, other.last_at),
        )

    def less(self, part: GaugeState) -> GaugeState:
        """Return this state: what a gauge says is of this moment, whatever it said before."""
        return self

    def numbers(self) -> Tuple[Any, ...]:
        """Return the arguments that make the same state."""
        return self.parts, self.sum, self.minimum, self.maximum, self.last, self.last_at

    def value(self, merge: str) -> Optional[float]:
        """Return the one value that the values make when combined as `merge` says; None if there is none."""
        if not self.parts:
            return None
        if merge == "mean":
            # Neither rounding nor a sum that is saturated must put the mean of equal values beside them.
            return min(max(self.sum / self.parts, self.minimum), self.maximum)
        return {"sum": self.sum, "min": self.minimum, "max": self.maximum, "last": self.last}[merge]

    def _recency(self) -> tuple[float, float]:
        # The value decides between two that were set in the same moment, so that merging does not depend on the order.
        return self.last_at, -math.inf if self.last is None else self.last

    def __repr__(self) -> str:
        return f"<GaugeState of {self.parts} parts, last {self.last}>"


UNSET = GaugeState(0, 0, math.inf, -math.inf, None, -math.inf)
"""A gauge that has no value."""


def single(value: float, at: float) -> GaugeState:
    """Return the state of one gauge that was set to `value` at the time `at`."""
    return GaugeState(1, value, value, value, value, at)
