"""The kind of histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.kinds.kind import SUM, TOTAL, VALUE, Kind
from tapes.state.histogram import NONE, HistogramState
from tapes.state.numbers import saturated

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics
    from tapes.state.distribution import Distribution

SPREAD_KEYS = ("min", "max", "mean", "stddev", "q50", "q75", "q95", "q98", "q99", "q999")

FRACTIONS = (0.5, 0.75, 0.95, 0.98, 0.99, 0.999)
"""What q50 to q999 stand for."""


class HistogramKind(Kind):
    """Histograms: how values are spread."""

    __slots__ = ()

    statistics = (("count", TOTAL), ("sum", SUM), *((key, VALUE) for key in SPREAD_KEYS))

    def zero(self, now: float) -> HistogramState:
        """Return the state of a histogram without values."""
        return NONE

    def view(self, state: HistogramState, now: float, merge: str = "sum") -> Statistics:
        """Return count and sum since the start, and how the values of the last five minutes before `now` are spread."""
        return {"count": saturated(state.count), "sum": saturated(state.sum), **_spread(state.window(now))}

    def is_empty(self, state: HistogramState) -> bool:
        """Whether there was no value."""
        return not state.count


def _spread(window: Distribution) -> Statistics:
    if not window.count:
        return dict.fromkeys(SPREAD_KEYS, 0.0)
    # Rounding must not put the mean of equal values beside them.
    mean = min(max(window.mean, window.minimum), window.maximum)
    from tapes.state.quantiles import quantiles  # here, since who only records need not pay for it

    found = quantiles(window, FRACTIONS)
    return dict(zip(SPREAD_KEYS, (window.minimum, window.maximum, mean, window.stddev, *found)))


HISTOGRAM = HistogramKind("histogram")
