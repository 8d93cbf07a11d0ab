"""The histogram: how values are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.instruments.instrument import Instrument
from tapes.recording import HistogramBuffer
from tapes.snapshot.views import HISTOGRAM_KEYS, histogram_statistics

if TYPE_CHECKING:
    from tapes.snapshot.snapshot import Statistics
    from tapes.state.histogram import HistogramState


class Histogram(HistogramBuffer, Instrument):
    """Summarises values. `update(value)` records; quantiles are within 1 % of the exact ones, extremes are exact."""

    __slots__ = ("__weakref__",)

    kind = "histogram"
    keys = HISTOGRAM_KEYS

    def _statistics(self, state: HistogramState, now: float) -> Statistics:
        return histogram_statistics(state, now)
