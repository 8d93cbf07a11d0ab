"""The kind of gauges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapes.kinds.kind import VALUE, Kind
from tapes.state.gauge import UNSET, GaugeState
from tapes.state.numbers import saturated

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics


class GaugeKind(Kind):
    """Gauges: values of this moment."""

    __slots__ = ()

    statistics = (("value", VALUE),)
    lasts = False

    def zero(self, now: float) -> GaugeState:
        """Return the state of a gauge that has no value."""
        return UNSET

    def view(self, state: GaugeState, now: float, merge: str = "sum") -> Statistics:
        """Return the one value that there is when those of all processes are combined as `merge` says, or None."""
        value = state.value(merge)
        return {"value": value if value is None else saturated(value)}

    def is_empty(self, state: GaugeState) -> bool:
        """Whether there is no value. Zero is one."""
        return not state.parts


GAUGE = GaugeKind("gauge")
