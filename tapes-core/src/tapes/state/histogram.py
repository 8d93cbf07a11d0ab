"""The state of a histogram: a cumulative distribution, with the last minutes still in slices."""

from __future__ import annotations

import math
from struct import Struct
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Sequence, Tuple

from tapes.state.distribution import EMPTY, Distribution, union
from tapes.state.distribution import unpacked as distribution
from tapes.state.numbers import MOST, total

if TYPE_CHECKING:
    from tapes.state.counts import Buckets

WINDOW = 300.0
"""Seconds for which a slice stays in the window after its end."""

SLOT = 50.0
"""Seconds of a slot. Slots begin at its multiples, which are the same moments in all processes of a host."""

SPAN = 60.0
"""The most seconds between the first and the last value of a slice, as long as folds are no further apart."""

_LOOSE = SPAN - SLOT  # the most seconds by which the time of values in a slot may be uncertain

# Seconds after its end at which a slice is closed. Slices that begin at or before a closed one are not shown any more.
_KEPT = WINDOW + SPAN

NEVER = -math.inf
"""Before any time."""

Settled = Tuple[Any, ...]
"""The part of a histogram that changes only once a slot: `closed_through`, then, packed, the closed distribution and
all slices but the newest. These are few objects, and none can be part of a reference cycle."""

Numbers = Tuple[bytes, Settled]
"""The newest slice of a histogram, packed, and the settled part."""

_TIMES = Struct("=dd")  # start and end of a slice


class Slice:
    """The values recorded in one stretch of time. Immutable."""

    __slots__ = ("end", "start", "values")

    def __init__(self, start: float, end: float, values: Distribution) -> None:
        self.start = start
        """The key of the slice, in seconds of the monotonic clock: the start of a slot or, where the time of the values
        is too uncertain for a slot, the start of the stretch that they are from."""
        self.end = end
        """No value was recorded after this."""
        self.values = values

    def packed(self) -> bytes:
        """Return the slice as bytes, for `unpacked`."""
        return _TIMES.pack(self.start, self.end) + self.values.packed()

    def __repr__(self) -> str:
        return f"<Slice from {self.start} to {self.end}: {self.values!r}>"


class HistogramState:
    """All values so far. Immutable.

    `slices` holds the values of the last minutes by their time, in the order of their starts; `closed` holds all slices
    that began at `closed_through` or before. Together they are the cumulative distribution, which only grows.
    """

    __slots__ = ("closed", "closed_through", "slices")

    def __init__(self, closed: Distribution, closed_through: float, slices: Tuple[Slice, ...]) -> None:
        self.closed = closed
        self.closed_through = closed_through
        self.slices = slices

    @property
    def count(self) -> int:
        """The number of values since the start."""
        return min(self.closed.count + sum([part.values.count for part in self.slices]), MOST)

    @property
    def sum(self) -> float:
        """The sum of all values since the start."""
        return total([self.closed.sum, *[part.values.sum for part in self.slices]])

    @property
    def minimum(self) -> float:
        """The smallest value in the slices, infinity if there is none."""
        return min([part.values.minimum for part in self.slices], default=math.inf)

    def cumulative(self) -> Distribution:
        """Return the distribution of all values since the start."""
        return union([self.closed, *(part.values for part in self.slices)])

    def window(self, now: float) -> Distribution:
        """Return the distribution of the values of the last five to six minutes."""
        return union([part.values for part in self.slices if now - part.end < WINDOW])

    def settled(self) -> Settled:
        """Return the settled part: all but the newest slice. `with_newest` joins the two."""
        if len(self.slices) < 2 and not self.closed.count:
            return NOTHING_SETTLED
        return (self.closed_through, self.closed.packed(), *[part.packed() for part in self.slices[:-1]])

    def slice_for(self, since: float, until: float) -> Slice:
        """Return the slice for values recorded from `since` to `until`: an existing or a new one.

        A value stays visible for at least `WINDOW` after its record, and for at most `SPAN` longer.
        """
        start = slice_start(since, until)
        for part in reversed(self.slices):
            if part.start == start:
                return part
        return Slice(start, until, EMPTY)

    def recorded(self, into: Slice, until: float, values: Distribution) -> HistogramState:
        """Return the state after `values`, recorded up to `until`, replace those of the slice `into`, from `slice_for`.

        Closes slices that have left the window.
        """
        changed = Slice(into.start, max(into.end, until), values)
        slices = self.slices
        if slices and slices[-1] is into:
            return HistogramState(self.closed, self.closed_through, (*slices[:-1], changed))
        if into in slices:
            slices = tuple(changed if part is into else part for part in slices)
        else:
            slices = (*slices, changed)
            if len(slices) > 1 and slices[-2].start > changed.start:
                slices = tuple(sorted(slices, key=_start))
        return closed_by(HistogramState(self.closed, self.closed_through, slices), until)

    def merge(self, other: HistogramState) -> HistogramState:
        """Return the state of a histogram that saw the values of both. Slices of the same slot become one."""
        return merged((self, other))

    def minus(self, part: HistogramState) -> HistogramState:
        """Return the state of a histogram that saw only the values since this one was in the state `part`.

        Exact for counts and buckets, to float rounding for sums. The extremes are those of all values.
        """
        through = self.closed_through
        before = {each.start: each.values for each in part.slices if each.start > through}
        here = {each.start: each.values.count for each in self.slices}
        if any(here.get(start, 0) < values.count for start, values in before.items()):  # their times were shifted
            return HistogramState(self.cumulative().minus(part.cumulative()), through, ())
        closed = union([part.closed, *[each.values for each in part.slices if each.start <= through]])
        slices = [Slice(each.start, each.end, each.values.minus(before.get(each.start, EMPTY))) for each in self.slices]
        return HistogramState(self.closed.minus(closed), through, tuple([each for each in slices if each.values.count]))

    def __repr__(self) -> str:
        return f"<HistogramState of {self.count} values>"


def with_newest(settled: Settled, newest: Optional[Slice]) -> HistogramState:
    """Return the state of a settled part and the newest slice, if there is one."""
    if settled is NOTHING_SETTLED:
        return HistogramState(EMPTY, NEVER, () if newest is None else (newest,))
    through, closed, *slices = settled
    parts = tuple(map(unpacked, slices))
    return HistogramState(distribution(closed), through, parts if newest is None else (*parts, newest))


def unpacked(part: bytes, buckets: Optional[Buckets] = None) -> Slice:
    """Return the slice of these bytes from `packed()`. `buckets` are its buckets, if known."""
    start, end = _TIMES.unpack_from(part)
    return Slice(start, end, distribution(part[_TIMES.size :], buckets))


def without_common(numbers: Numbers, others: Numbers) -> Tuple[Numbers, Numbers]:
    """Return the numbers of two moments of a histogram, without slices that are the same object in both."""
    (newest, settled), (other, same) = numbers, others
    if settled is not same:
        return numbers, others
    return (newest, settled[:2]), (other, settled[:2])


def slice_start(since: float, until: float) -> float:
    """Return the start of the slice for values recorded from `since` to `until`.

    That is the start of the slot of `until`. Only if the stretch is too long to assume that slot, it is `since`: the
    values get their own slice.
    """
    return since if _LOOSE < until - since <= SPAN else slot_start(until)


def slot_start(time: float) -> float:
    """Return the start of the slot of `time`. A slot includes its end, but not its start.

    So a tick of a meter, which is folded at the time of its end, falls into one slot.
    """
    return (math.ceil(time / SLOT) - 1) * SLOT


def gathered(closed: List[Distribution], through: float, parts: Iterable[Slice]) -> HistogramState:
    """Return the state of the closed values and these slices. Slices with the same start are joined.

    Slices that began at `through` or before are closed as well.
    """
    by_start: Dict[float, List[Slice]] = {}
    for part in parts:
        start = part.start
        if start in by_start:
            by_start[start].append(part)
        elif start <= through:
            closed.append(part.values)
        else:
            by_start[start] = [part]
    return HistogramState(union(closed), through, tuple([_joined(by_start[start]) for start in sorted(by_start)]))


def merged(states: Sequence[HistogramState]) -> HistogramState:
    """Return the state of a histogram that saw the values of all. It costs less than to merge one after the other."""
    if len(states) == 1:
        return states[0]
    through = max([state.closed_through for state in states])
    parts = [part for state in states for part in state.slices]
    together = gathered([state.closed for state in states], through, parts)
    return closed_by(together, max([part.end for part in together.slices], default=NEVER))


def _joined(parts: List[Slice]) -> Slice:
    """Return one slice with the values of all `parts`, which have the same start."""
    if len(parts) == 1:
        return parts[0]
    return Slice(parts[0].start, max([part.end for part in parts]), union([part.values for part in parts]))


def closed_by(state: HistogramState, now: float) -> HistogramState:
    """Return the state after closing the slices that have left the window by `now`.

    They are closed in the order of their starts, so that one number, `closed_through`, describes which are closed.
    """
    slices = state.slices
    gone = 0
    while gone < len(slices) and now - slices[gone].end >= _KEPT:
        gone += 1
    if not gone:
        return state
    total = union([state.closed, *(part.values for part in slices[:gone])])
    return HistogramState(total, slices[gone - 1].start, slices[gone:])


def _start(part: Slice) -> float:
    return part.start


NONE = HistogramState(EMPTY, NEVER, ())
"""The state of a histogram without values."""

NOTHING_SETTLED: Settled = (NEVER, EMPTY.packed())
