"""The kind of gauges."""

from __future__ import annotations

from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Optional

from tapes.kinds.kind import VALUE, Kind
from tapes.state.gauge import MERGES, UNSET, GaugeState
from tapes.wire import EVER, WireError, number

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics
    from tapes.wire import Reader

_HEAD = Struct("<Id")


class GaugeKind(Kind):
    """Gauges: current values."""

    __slots__ = ()

    statistics = (("value", VALUE),)
    lasts = False
    merges = MERGES
    code = 1
    repeats = True  # a gauge with a producer has a new state at each read, mostly with the same value

    def zero(self, now: float) -> GaugeState:
        """Return the state of a gauge without a value."""
        return UNSET

    def view(self, state: GaugeState, now: float, merge: str = "sum") -> Statistics:
        """Return the values of all processes, combined as `merge` says; None if there is none."""
        return {"value": state.value(merge)}

    def is_empty(self, state: GaugeState) -> bool:
        """Return whether there is no value. Zero counts as a value."""
        return not state.parts

    def write(self, state: GaugeState, known: Optional[GaugeState]) -> bytes:
        """Write the summary of all processes' values, and when the last was set."""
        if not state.parts or state.last is None:
            return _HEAD.pack(0, 0.0)
        numbers = (state.sum, state.minimum, state.maximum, state.last)
        head = _HEAD.pack(min(state.parts, 0xFFFFFFFF), max(state.last_at, -EVER))
        return head + b"".join([number(each) for each in numbers])

    def read(self, reader: Reader) -> GaugeState:
        """Read the same."""
        parts, last_at = reader.take(_HEAD)
        if not parts:
            return UNSET
        total, minimum, maximum, last = (reader.number() for _ in range(4))
        if not minimum <= last <= maximum or (parts == 1 and not minimum == total == maximum):
            raise WireError(
                f"A gauge cannot have the last value {last} from {minimum} to {maximum} in {parts} processes."
            )
        if reader.single and parts != 1:
            raise WireError(f"A gauge of one worker has values of {parts} processes.")
        return GaugeState(parts, total, minimum, maximum, last, reader.time(last_at))

    def differs(self, state: GaugeState, known: GaugeState, merge: str) -> bool:
        """Return whether the value differs; for `merge="last"`, also whether it was set again."""
        if merge == "last" and state.last_at != known.last_at:
            return True
        return self.write(state, None)[_HEAD.size :] != self.write(known, None)[_HEAD.size :]

    def shifted(self, state: GaugeState, shift: Optional[float], heard: float) -> GaugeState:
        """Return the state with the time of the last value by the clock here."""
        at = -inf if shift is None else min(state.last_at + shift, heard)
        if at == state.last_at:
            return state
        return GaugeState(state.parts, state.sum, state.minimum, state.maximum, state.last, at)


GAUGE = GaugeKind("gauge")
