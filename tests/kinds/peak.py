"""A sixth kind of metrics, which no other module knows: the largest value so far."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, List, Optional

from tapes.instruments import Instrument
from tapes.kinds.kind import VALUE, Kind
from tapes.wire import WireError, number

if TYPE_CHECKING:
    from tapes.kinds.kind import Statistics
    from tapes.naming import Tags
    from tapes.wire import Reader


class PeakState:
    """The largest value; None if there was none."""

    __slots__ = ("peak",)

    def __init__(self, peak: Optional[float]) -> None:
        self.peak = peak

    def merge(self, other: PeakState) -> PeakState:
        """Return the larger one."""
        return PeakState(max([each.peak for each in (self, other) if each.peak is not None], default=None))

    def less(self, part: PeakState) -> PeakState:
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


class Peak(Instrument):
    """A metric of this kind."""

    __slots__ = ("__weakref__", "_lock", "_state", "name", "tags")

    kind: ClassVar[Kind] = PEAK

    def __init__(self, name: str, tags: Tags = ()) -> None:
        self.name = name
        self.tags = tags
        self._lock = Lock()
        self._state = PEAK.zero(0.0)

    def update(self, value: float) -> None:
        """Record a value."""
        with self._lock:
            self._state = self._state.merge(PeakState(value))

    def read(self, now: float) -> PeakState:
        """Return the state."""
        return self._state

    def restart(self) -> None:
        """Begin without a value, in a process where nobody holds the lock."""
        self._lock = Lock()
        self._state = PEAK.zero(0.0)

    def exchange(self, content: Optional[List[Any]]) -> List[Any]:
        """Take out the state, and put in another."""
        with self._lock:
            taken, self._state = self._state, PEAK.zero(0.0) if content is None else content[0]
        return [taken]
