"""The kind of counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Sequence, Tuple

from tapes.kinds.kind import VALUE, Kind
from tapes.state.counter import ZERO, CounterState
from tapes.state.numbers import saturated, total

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics


class CounterKind(Kind):
    """Counters: what was added less what was taken away."""

    __slots__ = ()

    statistics = (("value", VALUE),)
    adds_up = True

    def zero(self, now: float) -> CounterState:
        """Return the state of a counter that has counted nothing."""
        return ZERO

    def view(self, state: CounterState, now: float, merge: str = "sum") -> Statistics:
        """Return what was added less what was taken away."""
        return {"value": saturated(state.value)}

    def is_empty(self, state: CounterState) -> bool:
        """Whether as much was taken away as was added."""
        return not state.value

    def counts(self, state: CounterState) -> Tuple[float, float]:
        """Return the two sums that its value is the difference of."""
        return state.increments, state.decrements

    def merge(self, states: Sequence[CounterState]) -> CounterState:
        """Return the state of all together: it costs less than to merge one after the other."""
        return CounterState(total([each.increments for each in states]), total([each.decrements for each in states]))


COUNTER = CounterKind("counter")
