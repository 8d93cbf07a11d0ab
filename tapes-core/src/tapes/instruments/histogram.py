"""The histogram: the distribution of values."""

from __future__ import annotations

from tapes.instruments.instrument import Instrument
from tapes.kinds.histogram import HISTOGRAM
from tapes.recording import HistogramBuffer


class Histogram(HistogramBuffer, Instrument):
    """Summarises values. `update(value)` records; quantiles are within 1 % of the exact ones, extremes are exact."""

    __slots__ = ("__weakref__",)

    kind = HISTOGRAM
