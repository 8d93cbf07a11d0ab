"""The timer: events, how many a second, and how long they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.instruments.instrument import Instrument
from tapes.recording import TimerBuffer
from tapes.snapshot.views import TIMER_KEYS, timer_statistics

if TYPE_CHECKING:
    from tapes.snapshot.snapshot import Statistics
    from tapes.state.timer import TimerState


class Timer(TimerBuffer, Instrument):
    """Measures durations, in seconds. `time()` measures a block or a function, `update(duration)` records one."""

    __slots__ = ("__weakref__",)

    kind = "timer"
    keys = TIMER_KEYS

    def _statistics(self, state: TimerState, now: float) -> Statistics:
        return timer_statistics(state, now)
