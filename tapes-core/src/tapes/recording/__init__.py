"""The recording core: buffers that take records at once, and fold them into cumulative state in bulk.

This is the only part of tapes in which speed decides how the code is written. The rest of tapes uses the names below
and nothing else of it. `tapes.recording.core` says what each of them promises, so that a compiled core can take the
place of the pure one. What records may assume is written at `tapes.recording.buffer.Buffer`.
"""

from __future__ import annotations

from tapes.recording.buffer import Numbers
from tapes.recording.generic import GenericBuffer
from tapes.recording.pure import (
    CAPACITY,
    CounterBuffer,
    GaugeBuffer,
    HistogramBuffer,
    MeterBuffer,
    TimerBuffer,
    Timing,
    distribution_of,
    exact,
)

__all__ = [
    "CAPACITY",
    "CounterBuffer",
    "GaugeBuffer",
    "GenericBuffer",
    "HistogramBuffer",
    "MeterBuffer",
    "Numbers",
    "TimerBuffer",
    "Timing",
    "distribution_of",
    "exact",
]
