"""The kind of timers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.kinds.histogram import HISTOGRAM
from tapes.kinds.kind import Kind
from tapes.kinds.meter import METER
from tapes.state.timer import TimerState

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics


class TimerKind(Kind):
    """Timers: a meter of events and a histogram of their durations, in seconds."""

    __slots__ = ()

    statistics = tuple(dict.fromkeys((*METER.statistics, *HISTOGRAM.statistics)))
    unit = "s"

    def zero(self, now: float) -> TimerState:
        """Return the state of a timer that begins at `now`."""
        return TimerState(METER.zero(now), HISTOGRAM.zero(now))

    def view(self, state: TimerState, now: float, merge: str = "sum") -> Statistics:
        """Return what a meter and a histogram show."""
        return {**METER.view(state.events, now), **HISTOGRAM.view(state.durations, now)}

    def is_empty(self, state: TimerState) -> bool:
        """Whether there was no event."""
        return METER.is_empty(state.events)


TIMER = TimerKind("timer")
