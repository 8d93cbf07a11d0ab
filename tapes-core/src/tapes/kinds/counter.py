"""The kind of counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple

from tapes.kinds.kind import VALUE, Kind
from tapes.state.counter import ZERO, CounterState
from tapes.state.numbers import least, precise
from tapes.wire import WireError, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapes.kinds.kind import Statistics
    from tapes.wire import Reader


class CounterKind(Kind):
    """Counters: all additions minus all subtractions."""

    __slots__ = ()

    statistics = (("value", VALUE),)
    adds_up = True
    code = 0

    def zero(self, now: float) -> CounterState:
        """Return the state of a counter without records."""
        return ZERO

    def view(self, state: CounterState, now: float, merge: str = "sum") -> Statistics:
        """Return all additions minus all subtractions, as `value`."""
        return {"value": state.value}

    def is_empty(self, state: CounterState) -> bool:
        """Return whether additions and subtractions cancel out."""
        return not state.value

    def counts(self, state: CounterState) -> Tuple[float, float]:
        """Return the sums of additions and subtractions."""
        return state.increments, state.decrements

    def merge(self, states: Sequence[CounterState]) -> CounterState:
        """Return one state of all `states`. Costs less than merging one after the other.

        Both sums are the floats nearest to the exact ones, so they do not depend on the order of the states.
        """
        return CounterState(
            precise([each.increments for each in states]), precise([each.decrements for each in states])
        )

    def settled(self, settled: CounterState, state: CounterState) -> CounterState:
        """Return both together, with sums that are rounded up: so what is shown never falls by a rounding error."""
        return CounterState(
            least([settled.increments, state.increments]), least([settled.decrements, state.decrements])
        )

    def write(self, state: CounterState, known: Optional[CounterState]) -> bytes:
        """Write both sums."""
        return number(state.increments) + number(state.decrements)

    def read(self, reader: Reader) -> CounterState:
        """Read both sums."""
        increments, decrements = reader.number(), reader.number()
        if increments < 0 or decrements < 0:
            raise WireError(f"A counter has counted {increments} up and {decrements} down: neither is below zero.")
        return CounterState(increments, decrements)

    def all_shifted(self, states: Mapping[Any, CounterState]) -> List[CounterState]:
        """Return the states unchanged: they hold no times."""
        return list(states.values())

    def has_recorded(self, update: CounterState) -> bool:
        """Return whether anything was counted, even if it cancels out."""
        return bool(update.increments or update.decrements)


COUNTER = CounterKind("counter")
