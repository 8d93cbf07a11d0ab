"""The timer: the number of events, their rate per second and their durations."""

from __future__ import annotations

from tapes.instruments.instrument import Instrument
from tapes.kinds.timer import TIMER
from tapes.recording import TimerBuffer


class Timer(TimerBuffer, Instrument):
    """Measures durations, in seconds. `time()` measures a block or a function, `update(duration)` records one."""

    __slots__ = ("__weakref__",)

    kind = TIMER
