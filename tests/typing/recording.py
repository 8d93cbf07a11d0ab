"""The recording core as type checkers see it. Nothing in here is run."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

from tapes.instruments import Instrument
from tapes.recording import CounterBuffer, GaugeBuffer, HistogramBuffer, MeterBuffer, TimerBuffer, pure
from tapes.recording.core import (
    Buffer,
    Core,
    CounterRecording,
    GaugeRecording,
    HistogramRecording,
    Make,
    MeterRecording,
    Readable,
    Resettable,
    TimerRecording,
)
from tapes.registry import Registry
from tapes.state.counter import CounterState

core: Core = pure

counters: Make[CounterRecording] = CounterBuffer
gauges: Make[GaugeRecording] = GaugeBuffer
meters: Make[MeterRecording] = MeterBuffer
histograms: Make[HistogramRecording] = HistogramBuffer
timers: Make[TimerRecording] = TimerBuffer


registry = Registry()
counter: CounterRecording = registry.counter("a")
gauge: GaugeRecording = registry.gauge("a")
meter: MeterRecording = registry.meter("a")
histogram: HistogramRecording = registry.histogram("a")
timer: TimerRecording = registry.timer("a")

metric: Instrument = registry.counter("a")
readable: Readable[Any] = metric
resettable: Resettable = metric

wrong: HistogramRecording = registry.counter("a")  # type: ignore[assignment]  # it takes no values
other: Buffer[int] = registry.counter("a")  # type: ignore[assignment]  # its state is no int
assert_type(pure.CounterBuffer("a", (), float).read(0.0), CounterState)
