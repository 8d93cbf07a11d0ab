"""The kind of meters."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from tapes.kinds.kind import RATE, TOTAL, Kind
from tapes.state.meter import TICK, MeterState, started, tick_of
from tapes.state.numbers import LARGEST, MOST, saturated
from tapes.wire import WireError, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tapes.kinds.kind import Statistics
    from tapes.wire import Reader

_EVENTS = Struct("<q3d")


class MeterKind(Kind):
    """Meters: numbers of events and their rates per second."""

    __slots__ = ()

    statistics = (("count", TOTAL), ("m1", RATE), ("m5", RATE), ("m15", RATE))
    code = 2

    def zero(self, now: float) -> MeterState:
        """Return the state of a meter that starts at `now`."""
        return started(now)

    def view(self, state: MeterState, now: float, merge: str = "sum") -> Statistics:
        """Return the count since the start, and the averages as of the last tick before `now`."""
        return dict(zip(self.keys, (state.count, *state.rates_at(now))))

    def is_empty(self, state: MeterState) -> bool:
        """Return whether there is no event."""
        return not state.count

    def merge(self, states: Sequence[MeterState]) -> MeterState:
        """Return one state of all `states`. Adding up those of the same tick first costs less than merging each."""
        by_tick: Dict[int, List[MeterState]] = {}
        for each in states:
            if each.tick in by_tick:
                by_tick[each.tick].append(each)
            else:
                by_tick[each.tick] = [each]
        together: MeterState = super().merge([_added(by_tick[tick]) for tick in sorted(by_tick)])
        return together

    def write(self, state: MeterState, known: Optional[MeterState]) -> bytes:
        """Write all events, and the averages."""
        return number(state.count) + number(state.current) + _EVENTS.pack(state.tick, *state.rates)

    def read(self, reader: Reader) -> MeterState:
        """Read the same."""
        count, current = reader.number(), reader.number()
        if count != int(count) or current != int(current):
            raise WireError(f"A meter has {count} events, {current} of them in a tick: both are whole numbers.")
        return events(reader, count, current, *reader.take(_EVENTS))

    def timeless(self, state: MeterState) -> MeterState:
        """Return the number of events alone, without rates."""
        return MeterState(state.count, 0, 0, (0.0, 0.0, 0.0))

    def shifted(self, state: MeterState, shift: Optional[float], heard: float) -> MeterState:
        """Return the state by the clock here. Ticks can only be shifted by whole ones."""
        if shift is None:
            return self.timeless(state)
        tick = min(state.tick + round(shift / TICK), tick_of(heard) + 1)
        return state if tick == state.tick else MeterState(state.count, tick, state.current, state.rates)

    def all_shifted(self, states: Mapping[Any, MeterState]) -> List[MeterState]:
        """Return the states by the clock here. Those with the same clock cost nothing."""
        return [
            state
            if worker.shift == 0 and state.tick * TICK <= worker.heard
            else self.shifted(state, worker.shift, worker.heard)
            for worker, state in states.items()
        ]


def events(reader: Reader, count: float, current: float, tick: int, m1: float, m5: float, m15: float) -> MeterState:
    """Return the state of a meter, or of the events of a timer, from the fields read. Raises WireError if invalid."""
    if not 0 <= current <= count or not (0.0 <= m1 <= LARGEST and 0.0 <= m5 <= LARGEST and 0.0 <= m15 <= LARGEST):
        raise WireError(
            f"A meter cannot have {count} events, {current} of them in a tick, at rates of {m1}, {m5} and {m15}."
        )
    if not reader.earliest <= tick * TICK <= reader.last:
        raise reader.impossible(tick * TICK)
    if tick > reader.tick:
        tick = reader.tick
    return MeterState(count, tick, current, (m1, m5, m15))  # type: ignore[arg-type]  # as they were recorded


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
