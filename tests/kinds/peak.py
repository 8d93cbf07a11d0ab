"""A sixth kind of metrics, which no other module knows: the largest value so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Optional, Sequence, SupportsFloat

from tapes.instruments import Instrument
from tapes.kinds.kind import VALUE, Kind
from tapes.recording import GenericBuffer
from tapes.wire import WireError, number

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics
    from tapes.wire import Reader


class PeakState:
    """The largest value; None if there was none."""

    __slots__ = ("peak",)

    def __init__(self, peak: Optional[float]) -> None:
        self.peak = peak

    def merge(self, other: PeakState) -> PeakState:
        """Return the larger one."""
        return PeakState(max([each.peak for each in (self, other) if each.peak is not None], default=None))

    def minus(self, part: PeakState) -> PeakState:
        """Return this state: to merge both gives it again."""
        return self


class PeakKind(Kind):
    """Peaks: one value, which only grows."""

    __slots__ = ()

    statistics = (("peak", VALUE),)

    def zero(self, now: float) -> PeakState:
        """Return the state without a value."""
        return PeakState(None)

    def view(self, state: PeakState, now: float, merge: str = "sum") -> Statistics:
        """Return the largest value."""
        return {"peak": state.peak}

    def is_empty(self, state: PeakState) -> bool:
        """Whether there was no value."""
        return state.peak is None

    def folded(self, state: PeakState, records: Sequence[float], until: float) -> PeakState:
        """Return the largest of all."""
        return state.merge(PeakState(max(records)))

    def write(self, state: PeakState, known: Optional[PeakState]) -> bytes:
        """Write whether there is a value, and the value."""
        return b"\0" if state.peak is None else b"\1" + number(state.peak)

    def read(self, reader: Reader) -> PeakState:
        """Read the same."""
        there = reader.bytes(1)
        if there not in (b"\0", b"\1"):
            raise WireError(f"A peak has a value or none, and not {there!r}.")
        return PeakState(reader.number() if there == b"\1" else None)


PEAK = PeakKind("peak")


class Peak(GenericBuffer, Instrument):
    """A metric of this kind."""

    __slots__ = ("__weakref__",)

    kind: ClassVar[Kind] = PEAK

    def update(self, value: SupportsFloat) -> None:
        """Record any real number."""
        self.record(self.checked(value))
