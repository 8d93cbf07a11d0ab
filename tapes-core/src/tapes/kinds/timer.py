"""The kind of timers."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, List, Optional, Sequence

from tapes.kinds import slices
from tapes.kinds.histogram import HISTOGRAM
from tapes.kinds.kind import Kind
from tapes.kinds.meter import METER, events
from tapes.kinds.slices import MOST, HistogramUpdate
from tapes.state.timer import TimerState
from tapes.wire import WireError

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics
    from tapes.state.distribution import Distribution
    from tapes.state.meter import MeterState
    from tapes.wire import Reader

_HEAD = Struct("<QQq3dBdH")


class TimerUpdate:
    """An update of a timer: its events, and all slices of its durations or the changed ones."""

    __slots__ = ("durations", "events")

    def __init__(self, events: MeterState, durations: HistogramUpdate) -> None:
        self.events = events
        self.durations = durations


class TimerKind(Kind):
    """Timers: a meter of events and a histogram of their durations, in seconds."""

    __slots__ = ()

    statistics = tuple(dict.fromkeys((*METER.statistics, *HISTOGRAM.statistics)))
    brief = ("count", "m1", *HISTOGRAM.brief[1:])
    unit = "s"
    is_distribution = True
    code = 4

    def zero(self, now: float) -> TimerState:
        """Return the state of a timer that starts at `now`."""
        return TimerState(METER.zero(now), HISTOGRAM.zero(now))

    def view(self, state: TimerState, now: float, merge: str = "sum") -> Statistics:
        """Return the statistics of a meter and a histogram."""
        return {**METER.view(state.events, now), **HISTOGRAM.view(state.durations, now)}

    def is_empty(self, state: TimerState) -> bool:
        """Return whether there is no event."""
        return METER.is_empty(state.events)

    def distribution(self, state: TimerState) -> Distribution:
        """Return the distribution of all durations since the start, in seconds."""
        return HISTOGRAM.distribution(state.durations)

    def merge(self, states: Sequence[TimerState]) -> TimerState:
        """Return the events of all, and their durations."""
        events, durations = [state.events for state in states], [state.durations for state in states]
        return TimerState(METER.merge(events), HISTOGRAM.merge(durations))

    def write(self, state: TimerState, known: Optional[TimerState]) -> bytes:
        """Write the events, and all slices of their durations or the changed ones."""
        return _written(state, *slices.written(state.durations, None if known is None else known.durations))

    def pieces(self, state: TimerState, known: Optional[TimerState]) -> List[bytes]:
        """Write the same, some slices at a time."""
        pieces = slices.pieces(state.durations, None if known is None else known.durations)
        return [_written(state, *piece) for piece in pieces]

    def read(self, reader: Reader) -> TimerUpdate:
        """Read the events, and the slices of one piece."""
        count, current, tick, m1, m5, m15, flags, through, parts = reader.take(_HEAD)
        if count > MOST:
            raise WireError(f"A timer cannot have {count:,} events.")
        read = events(reader, count, current, tick, m1, m5, m15)
        return TimerUpdate(read, slices.read(reader, flags, through, parts))

    def full_state(self, update: TimerUpdate) -> TimerState:
        """Return the state of a complete update."""
        return TimerState(update.events, update.durations.state())

    def has_recorded(self, update: TimerState | TimerUpdate) -> bool:
        """Return whether there is an event."""
        return bool(update.events.count)

    def timeless(self, state: TimerState) -> TimerState:
        """Return the number of events and their durations, without rates and without any in the window."""
        return TimerState(METER.timeless(state.events), HISTOGRAM.timeless(state.durations))


def _written(state: TimerState, flags: int, through: float, parts: List[bytes]) -> bytes:
    """Return the events of a timer and some slices of their durations, as bytes."""
    times = state.events
    count, current = min(times.count, MOST), min(times.current, MOST)
    return _HEAD.pack(count, current, times.tick, *times.rates, flags, through, len(parts)) + b"".join(parts)


TIMER = TimerKind("timer")
