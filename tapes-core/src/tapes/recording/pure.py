"""The recording core in pure Python: a module that implements `tapes.recording.core.Core`."""

from __future__ import annotations

from tapes.recording.buffer import CAPACITY
from tapes.recording.counter import CounterBuffer
from tapes.recording.counting import distribution_of
from tapes.recording.exact import exact
from tapes.recording.gauge import GaugeBuffer
from tapes.recording.histogram import HistogramBuffer
from tapes.recording.meter import MeterBuffer
from tapes.recording.timer import TimerBuffer
from tapes.recording.timing import Timing

__all__ = [
    "CAPACITY",
    "CounterBuffer",
    "GaugeBuffer",
    "HistogramBuffer",
    "MeterBuffer",
    "TimerBuffer",
    "Timing",
    "distribution_of",
    "exact",
    "name",
]

name = "pure"
