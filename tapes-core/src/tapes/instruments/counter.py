"""The counter: a number that goes up and down by what happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.instruments.instrument import Instrument
from tapes.recording import CounterBuffer
from tapes.snapshot.views import VALUE_KEYS, counter_statistics

if TYPE_CHECKING:
    from tapes.snapshot.snapshot import Statistics
    from tapes.state.counter import CounterState


class Counter(CounterBuffer, Instrument):
    """Counts. `increment(n=1)` adds, `decrement(n=1)` takes away; ints are counted exactly."""

    __slots__ = ("__weakref__",)

    kind = "counter"
    keys = VALUE_KEYS

    def _statistics(self, state: CounterState, now: float) -> Statistics:
        return counter_statistics(state)
