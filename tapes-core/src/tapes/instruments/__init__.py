"""The metric classes, which programs record to. Only a registry needs to make metrics."""

from __future__ import annotations

from tapes.instruments.counter import Counter
from tapes.instruments.gauge import Gauge
from tapes.instruments.histogram import Histogram
from tapes.instruments.instrument import Instrument
from tapes.instruments.meter import Meter
from tapes.instruments.timer import Timer

__all__ = ["Counter", "Gauge", "Histogram", "Instrument", "Meter", "Timer"]
