"""The kind of histograms."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, List, Optional, Sequence

from tapes.kinds import slices
from tapes.kinds.kind import SUM, TOTAL, VALUE, Kind
from tapes.state.histogram import NEVER, NONE, HistogramState, merged

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics
    from tapes.kinds.slices import HistogramUpdate
    from tapes.state.distribution import Distribution
    from tapes.wire import Reader

SPREAD_KEYS = ("min", "max", "mean", "stddev", "q50", "q75", "q95", "q98", "q99", "q999")

FRACTIONS = (0.5, 0.75, 0.95, 0.98, 0.99, 0.999)
"""The fractions of q50 to q999."""

_HEAD = Struct("<BdH")


class HistogramKind(Kind):
    """Histograms: distributions of values."""

    __slots__ = ()

    statistics = (("count", TOTAL), ("sum", SUM), *((key, VALUE) for key in SPREAD_KEYS))
    brief = ("count", "mean", "q50", "q95", "q99", "max")
    is_distribution = True
    code = 3

    def zero(self, now: float) -> HistogramState:
        """Return the state of a histogram without values."""
        return NONE

    def view(self, state: HistogramState, now: float, merge: str = "sum") -> Statistics:
        """Return count and sum since the start, and the distribution of the last five minutes before `now`."""
        return {"count": state.count, "sum": state.sum, **_spread(state.window(now))}

    def is_empty(self, state: HistogramState) -> bool:
        """Return whether there is no value."""
        return not state.count

    def distribution(self, state: HistogramState) -> Distribution:
        """Return the distribution of all values since the start."""
        return state.cumulative()

    def merge(self, states: Sequence[HistogramState]) -> HistogramState:
        """Return the values of all. Those of a slot are added up at once, which costs less than to merge each."""
        return merged(states)

    def write(self, state: HistogramState, known: Optional[HistogramState]) -> bytes:
        """Write all slices or the changed ones."""
        flags, through, parts = slices.written(state, known)
        return _HEAD.pack(flags, through, len(parts)) + b"".join(parts)

    def pieces(self, state: HistogramState, known: Optional[HistogramState]) -> List[bytes]:
        """Write the same, some slices at a time."""
        return [
            _HEAD.pack(flags, through, len(parts)) + b"".join(parts)
            for flags, through, parts in slices.pieces(state, known)
        ]

    def read(self, reader: Reader) -> HistogramUpdate:
        """Read the slices of one piece."""
        return slices.read(reader, *reader.take(_HEAD))

    def full_state(self, update: HistogramUpdate) -> HistogramState:
        """Return the state of a complete update."""
        return update.state()

    def has_recorded(self, update: HistogramState | HistogramUpdate) -> bool:
        """Return whether there is a value."""
        return bool(update.slices or (update.closed and update.closed.count))

    def timeless(self, state: HistogramState) -> HistogramState:
        """Return the values since the start, without any in the window."""
        return HistogramState(state.cumulative(), NEVER, ())


def _spread(window: Distribution) -> Statistics:
    if not window.count:
        return dict.fromkeys(SPREAD_KEYS, 0.0)
    # Rounding must not make the mean of equal values differ from them.
    mean = min(max(window.mean, window.minimum), window.maximum)
    from tapes.state.quantiles import quantiles  # here, to keep it from programs that only record

    found = quantiles(window, FRACTIONS)
    return dict(zip(SPREAD_KEYS, (window.minimum, window.maximum, mean, window.stddev, *found)))


HISTOGRAM = HistogramKind("histogram")
