"""The kind of meters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Sequence

from tapes.kinds.kind import RATE, TOTAL, Kind
from tapes.state.numbers import MOST, saturated
from tapes.state.rates import MeterState, started, tick_of

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics


class MeterKind(Kind):
    """Meters: events, and how many a second."""

    __slots__ = ()

    statistics = (("count", TOTAL), ("m1", RATE), ("m5", RATE), ("m15", RATE))

    def zero(self, now: float) -> MeterState:
        """Return the state of a meter that begins at `now`."""
        return started(now)

    def view(self, state: MeterState, now: float, merge: str = "sum") -> Statistics:
        """Return the count since the start, and the averages as of the last tick before `now`."""
        return dict(zip(self.keys, map(saturated, (state.count, *state.advanced(tick_of(now)).rates))))

    def is_empty(self, state: MeterState) -> bool:
        """Whether there was no event."""
        return not state.count

    def merge(self, states: Sequence[MeterState]) -> MeterState:
        """Return the state of all together. Those of a tick are added up, which costs less than to merge each."""
        by_tick: Dict[int, List[MeterState]] = {}
        for each in states:
            if each.tick in by_tick:
                by_tick[each.tick].append(each)
            else:
                by_tick[each.tick] = [each]
        together: MeterState = super().merge([_added(by_tick[tick]) for tick in sorted(by_tick)])
        return together


def _added(states: List[MeterState]) -> MeterState:
    """Return the sum of states of the same tick."""
    if len(states) == 1:
        return states[0]
    m1 = m5 = m15 = 0.0
    for each in states:
        one, five, fifteen = each.rates
        m1 += one
        m5 += five
        m15 += fifteen
    count, current = sum([each.count for each in states]), sum([each.current for each in states])
    rates = saturated(m1), saturated(m5), saturated(m15)
    return MeterState(min(count, MOST), states[0].tick, min(current, MOST), rates)


METER = MeterKind("meter")
