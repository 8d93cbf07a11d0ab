"""The state of a histogram: a cumulative distribution, of which the last minutes are still in slices."""

from __future__ import annotations

from typing import Tuple

from tapes.state.distribution import EMPTY, Distribution

WINDOW = 300.0
"""Seconds for which a slice stays in the window after its end."""

SLICE = 60.0
"""Seconds that a slice spans at most, as long as folds are no further apart."""

_KEPT = WINDOW + SLICE  # slices are kept a little longer than they are shown, for readers whose time is a little behind


class Slice:
    """The values recorded in one stretch of time. Immutable."""

    __slots__ = ("end", "start", "values")

    def __init__(self, start: float, end: float, values: Distribution) -> None:
        self.start = start
        """No value is from before this, in seconds of the monotonic clock."""
        self.end = end
        """No value is from after this."""
        self.values = values

    def __repr__(self) -> str:
        return f"<Slice from {self.start} to {self.end}: {self.values!r}>"


class HistogramState:
    """All values so far. Immutable.

    `slices` holds those of the last minutes by the time of their recording, `closed` all before. Together they are the
    cumulative distribution, which only grows.
    """

    __slots__ = ("at", "closed", "slices")

    def __init__(self, at: float, closed: Distribution, slices: Tuple[Slice, ...]) -> None:
        self.at = at
        """Values that are not yet in this state were recorded after this moment."""
        self.closed = closed
        self.slices = slices

    @property
    def count(self) -> int:
        """How many values there were since the start."""
        return self.closed.count + sum(part.values.count for part in self.slices)

    @property
    def sum(self) -> float:
        """Their sum."""
        return sum((part.values.sum for part in self.slices), self.closed.sum)

    def cumulative(self) -> Distribution:
        """Return the distribution of all values since the start."""
        total = self.closed
        for part in self.slices:
            total = total.merge(part.values)
        return total

    def window(self, now: float) -> Distribution:
        """Return the distribution of the values of the last five to six minutes."""
        total = EMPTY
        for part in self.slices:
            if now - part.end < WINDOW:
                total = total.merge(part.values)
        return total

    def open_slice(self, until: float) -> Slice:
        """Return the slice that values recorded up to `until` belong into: the newest one, or a new one."""
        if self.slices and until - self.slices[-1].start <= SLICE:
            return self.slices[-1]
        return Slice(self.at, until, EMPTY)

    def recorded(self, into: Slice, until: float, values: Distribution, at: float) -> HistogramState:
        """Return the state in which the slice `into`, from `open_slice`, holds `values` and ends at `until`.

        `at` becomes the moment after which further values are recorded. Slices that have left the window are closed.
        """
        older = self.slices[:-1] if self.slices and into is self.slices[-1] else self.slices
        closed = self.closed
        if older:
            kept = tuple(part for part in older if until - part.end < _KEPT)
            if len(kept) < len(older):
                for part in older:
                    if until - part.end >= _KEPT:
                        closed = closed.merge(part.values)
                closed = closed.packed()
            if kept and kept[-1].values.buckets.__class__ is dict:
                last = kept[-1]
                kept = (*kept[:-1], Slice(last.start, last.end, last.values.packed()))
            older = kept
        return HistogramState(at, closed, (*older, Slice(into.start, max(into.end, until), values)))

    def resumed(self, at: float) -> HistogramState:
        """Return the same state, with the knowledge that nothing more was recorded up to `at`."""
        return HistogramState(at, self.closed, self.slices)

    def merge(self, other: HistogramState) -> HistogramState:
        """Return the state of a histogram that saw the values of both."""
        at = max(self.at, other.at)
        closed = self.closed.merge(other.closed)
        slices = sorted(self.slices + other.slices, key=_slice_order)
        while slices and at - slices[0].end >= _KEPT:
            closed = closed.merge(slices.pop(0).values)
        return HistogramState(at, closed, tuple(slices))

    def __repr__(self) -> str:
        return f"<HistogramState of {self.count} values>"


def _slice_order(part: Slice) -> Tuple[float, float, int]:
    return part.end, part.start, part.values.count


def started(at: float) -> HistogramState:
    """Return the state of a histogram that begins at the time `at`."""
    return HistogramState(at, EMPTY, ())
