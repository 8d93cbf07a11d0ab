"""The state of a timer: a meter of its events and a histogram of their durations."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tapes.state.histogram import HistogramState
    from tapes.state.rates import MeterState


class TimerState(NamedTuple):
    """Immutable, like both of its parts."""

    events: MeterState
    durations: HistogramState
    """In seconds."""

    def merge(self, other: TimerState) -> TimerState:
        """Return the state of a timer that saw what both have seen."""
        return TimerState(self.events.merge(other.events), self.durations.merge(other.durations))
