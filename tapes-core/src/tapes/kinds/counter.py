"""The kind of counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

from tapes.kinds.kind import Kind
from tapes.state.counter import ZERO, CounterState
from tapes.state.numbers import saturated, total

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics


class CounterKind(Kind):
    """Counters: what was added less what was taken away."""

    __slots__ = ()

    keys = ("value",)

    def zero(self, now: float) -> CounterState:
        """Return the state of a counter that has counted nothing."""
        return ZERO

    def view(self, state: CounterState, now: float, merge: str = "sum") -> Statistics:
        """Return what was added less what was taken away."""
        return {"value": saturated(state.value)}

    def is_empty(self, state: CounterState) -> bool:
        """Whether as much was taken away as was added."""
        return not state.value

    def merge(self, states: Sequence[CounterState]) -> CounterState:
        """Return the state of all together: it costs less than to merge one after the other."""
        return CounterState(total([each.increments for each in states]), total([each.decrements for each in states]))


COUNTER = CounterKind("counter")
