"""The state of a timer: a meter of its events and a histogram of their durations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tapes.state.histogram import HistogramState
    from tapes.state.meter import MeterState


class TimerState:
    """The events and the durations of a timer. Immutable, like both parts."""

    __slots__ = ("durations", "events")

    def __init__(self, events: MeterState, durations: HistogramState) -> None:
        self.events = events
        self.durations = durations
        """The distribution of the durations, in seconds."""

    def merge(self, other: TimerState) -> TimerState:
        """Return the state of a timer that saw the events of both."""
        return TimerState(self.events.merge(other.events), self.durations.merge(other.durations))

    def minus(self, part: TimerState) -> TimerState:
        """Return the state of a timer that saw only the events since this one was in the state `part`."""
        return TimerState(self.events.minus(part.events), self.durations.minus(part.durations))

    def __repr__(self) -> str:
        return f"<TimerState of {self.events.count} events>"
