"""The state of a gauge, and the ways to combine the gauges of several processes."""

from __future__ import annotations

import math
from typing import Any, Optional, Tuple

from tapes.state.numbers import added

MERGES = ("sum", "min", "max", "mean", "last")
"""The ways to combine the values of several processes."""


class GaugeState:
    """A summary of one gauge's values in some processes, enough to compute any of `MERGES`. Immutable."""

    __slots__ = ("last", "last_at", "maximum", "minimum", "parts", "sum")

    def __init__(
        self, parts: int, total: float, minimum: float, maximum: float, last: Optional[float], last_at: float
    ) -> None:
        self.parts = parts
        """The number of processes with a value."""
        self.sum = total
        self.minimum = minimum
        self.maximum = maximum
        self.last = last
        """The value that was set last, None if there is none."""
        self.last_at = last_at
        """The time when it was set, in seconds of the monotonic clock."""

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

    def minus(self, part: GaugeState) -> GaugeState:
        """Return this state: a gauge's value does not build on earlier ones."""
        return self

    def numbers(self) -> Tuple[Any, ...]:
        """Return the state as a plain tuple: the arguments of the constructor."""
        return self.parts, self.sum, self.minimum, self.maximum, self.last, self.last_at

    def value(self, merge: str) -> Optional[float]:
        """Return the values combined as `merge` says; None if there is none."""
        if not self.parts:
            return None
        if merge == "mean":
            # Neither rounding nor a saturated sum may make the mean of equal values differ from them.
            return min(max(self.sum / self.parts, self.minimum), self.maximum)
        return {"sum": self.sum, "min": self.minimum, "max": self.maximum, "last": self.last}[merge]

    def _recency(self) -> tuple[float, float]:
        # Of two values set at the same moment the larger one wins, so that the result does not depend on merge order.
        return self.last_at, -math.inf if self.last is None else self.last

    def __repr__(self) -> str:
        return f"<GaugeState of {self.parts} parts, last {self.last}>"


UNSET = GaugeState(0, 0, math.inf, -math.inf, None, -math.inf)
"""The state of a gauge without a value."""


def single(value: float, at: float) -> GaugeState:
    """Return the state of one gauge that was set to `value` at the time `at`."""
    return GaugeState(1, value, value, value, value, at)
