"""The recording core: buffers that take records at once, and fold them into cumulative state in bulk.

This is the only part of tapes in which speed decides how the code is written. The rest of tapes uses the names below
and nothing else of it, so that a compiled twin can take its place:

- one buffer a kind, made from a name, tags and a clock function, with the recording methods of its kind;
- of each, `numbers(now)` and `committed(now)` for what it has counted, `state(numbers)` for the state that is made of
  it, and `read(now)` for both at once; of histograms and timers `states(numbers, known)` for what a change is told by;
- of each, `restart()` for a child process, `exchange(content)` for isolated tests;
- `Timing`, the scope that a timer's `time()` returns;
- `exact(value)`, which makes whatever can be recorded an int or a float.

What records may assume is written at `Buffer`.
"""

from __future__ import annotations

from tapes.recording.buffer import Buffer
from tapes.recording.counter import CounterBuffer
from tapes.recording.exact import exact
from tapes.recording.gauge import GaugeBuffer
from tapes.recording.histogram import HistogramBuffer
from tapes.recording.meter import MeterBuffer
from tapes.recording.timer import TimerBuffer
from tapes.recording.timing import Timing

__all__ = [
    "Buffer",
    "CounterBuffer",
    "GaugeBuffer",
    "HistogramBuffer",
    "MeterBuffer",
    "TimerBuffer",
    "Timing",
    "exact",
]
