"""The recording core: buffers that take records at once, and fold them into cumulative state in bulk.

Only here does speed decide how the code is written. The rest of tapes uses only the names below.
`tapes.recording.core` says what each of them promises, so that a compiled core can replace this one.
`tapes.recording.buffer.Buffer` explains why recording is safe without locks.
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
