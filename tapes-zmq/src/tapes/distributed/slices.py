"""Pools of histograms and timers: slices that may still be replaced, and the merged rest."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Dict, List, Optional, Sequence

from tapes.distributed.pools import Pool, StatePool, WorkerView
from tapes.kinds.meter import METER
from tapes.state.counts import MANY, TOGETHER, RunningCounts
from tapes.state.distribution import EMPTY, Distribution, union
from tapes.state.histogram import NEVER, NONE, SLOT, HistogramState, Slice, closed_by, gathered
from tapes.state.timer import TimerState

if TYPE_CHECKING:
    from tapes.kinds.slices import HistogramUpdate
    from tapes.kinds.timer import TimerUpdate

_LATE = 2.0
"""Seconds after the end of a slot in which its slice may still change: a thread that folds while states are read may
put values into the slot before."""

_SPREAD = 10.0
"""Seconds after that over which the settling of histograms is spread, so that not all are settled at once."""

_TRACE = 1e-6
"""Sums are computed anew once they are below this part of their largest value, because of rounding errors."""

_MANY = 64
"""The most slices that wait to be merged."""


class _Share:
    """The share of a worker in a histogram, by its own clock."""

    __slots__ = ("closed", "number", "shift", "slices", "through")

    def __init__(
        self, shift: Optional[float], number: int, closed: Distribution = EMPTY, through: float = NEVER
    ) -> None:
        self.shift = shift
        """The shift of its slices in the running sums."""
        self.number = number
        """Its place in the order of arrival, from 0."""
        self.closed = closed
        """What of it has been merged; for an aggregator that publishes, what it has closed."""
        self.through = through
        """The start of the last slice in `closed`."""
        self.slices: Dict[float, Slice] = {}
        """The slices that may still be replaced, by start."""


class _Running:
    """The running sum of all replaceable slices with the same start.

    So reading costs little, however many workers there are. Adding and subtracting a float leaves an error of its size
    times 1e-16, so the sums are computed anew when they have become far smaller than they were.
    """

    __slots__ = ("_counts", "_maximum", "_minimum", "_most", "_pivot", "_squares", "_sum", "count", "end", "unsure")

    def __init__(self, pivot: float) -> None:
        self.count = 0
        self.end = NEVER
        self.unsure = False
        """Whether the minimum or maximum may have been taken out."""
        self._sum = 0.0
        # The squared deviations from a fixed value near the mean. Unlike those from the mean itself they can be added
        # and subtracted.
        self._squares = 0.0
        self._pivot = pivot
        self._most = [0.0, 0.0]  # the largest values so far of the sum and the squares
        self._minimum, self._maximum = math.inf, -math.inf
        self._counts = RunningCounts()

    def replace(self, old: Optional[Distribution], new: Optional[Distribution], group: int) -> None:
        """Take out the `old` values of a worker and put in the `new` ones; either may be None."""
        total, squares, pivot, most = self._sum, self._squares, self._pivot, self._most
        if old is not None:
            count = old.count
            self.count -= count
            total -= old.sum
            offset = old.sum / count - pivot
            squares -= old.deviations + offset * offset * count
        if new is not None:
            count = new.count
            self.count += count
            total += new.sum
            offset = new.sum / count - pivot
            squares += new.deviations + offset * offset * count
            if new.minimum < self._minimum:
                self._minimum = new.minimum
            if new.maximum > self._maximum:
                self._maximum = new.maximum
        self._sum, self._squares = total, squares
        if not -most[0] <= total <= most[0]:
            most[0] = abs(total)
        if squares > most[1]:
            most[1] = squares
        if old is not None and (new is None or new.minimum > old.minimum or new.maximum < old.maximum):
            self.unsure = True
        self._counts.replace(None if old is None else old.buckets, None if new is None else new.buckets, group)

    def be_sure(self, parts: Sequence[Distribution]) -> None:
        """Compute the minimum, the maximum and the sums anew from their `parts`."""
        self._minimum, self._maximum = min([part.minimum for part in parts]), max([part.maximum for part in parts])
        self.unsure = False
        whole = union(parts)
        self._pivot = whole.mean
        self._sum, self._squares = whole.sum, whole.deviations
        self._most = [abs(whole.sum), whole.deviations]

    def values(self) -> Optional[Distribution]:
        """Return the sum; None if it is too large for its numbers, or too small against their rounding errors."""
        count, most = self.count, self._most
        mean = self._sum / count
        offset = mean - self._pivot
        deviations = self._squares - offset * offset * count
        if count >= MANY or deviations - deviations != 0 or abs(self._sum) < _TRACE * most[0]:
            return None
        if deviations < _TRACE * most[1] and most[1] > _TRACE * _TRACE * mean * mean * count:
            return None
        return Distribution(count, self._sum, max(deviations, 0.0), self._minimum, self._maximum, self._counts.total())


class HistogramPool(Pool[HistogramState, "HistogramUpdate"]):
    """The pool of a histogram."""

    def __init__(self) -> None:
        self._shares: Dict[WorkerView, _Share] = {}
        self._joined = 0  # how many shares there have been so far
        self._merged = NONE
        # Settled slices that are not merged yet, by the clock here. Merging many costs little more than merging one.
        self._over: List[Slice] = []
        self._running: Dict[float, _Running] = {}  # the sums of the shares' slices, by start by the clock here
        self._delay = _LATE + random.random() * _SPREAD

    def workers(self) -> List[WorkerView]:
        return list(self._shares)

    def take(self, worker: WorkerView, update: HistogramUpdate) -> None:
        share = self._shares.get(worker)
        if share is None:
            share = self._new_share(worker)
        if update.is_full:
            self._drop(share, math.inf)
        if not worker.settles:
            self._replace(share, update)
            return
        if update.through > share.through:
            if update.closed is None:
                self._settle(share, update.through, worker.heard)
            else:  # part of it has been merged already, as slices
                self._over.append(_timeless(update.closed.minus(share.closed)))
                share.closed, share.through = update.closed, update.through
                self._drop(share, update.through)
        through, over = share.through, self._over_by(worker.frame_time)
        final = [part for part in update.slices if through < part.start <= over]
        for part in update.slices:
            if part.start > through:
                self._replace_slice(share, part.start, None if part.start <= over else part)
        if final or len(share.slices) > 1:
            self._settle(share, over, worker.heard, final)

    def settle(self, worker: WorkerView) -> None:
        share = self._shares.get(worker)
        if share is not None and worker.settles:
            self._settle(share, self._over_by(worker.settled), worker.heard)

    def shift_changed(self, worker: WorkerView) -> None:
        share = self._shares.get(worker)
        if share is not None:
            slices = self._drop(share, math.inf)
            share.shift = worker.shift
            for part in slices:
                self._replace_slice(share, part.start, part)

    def retire(self, worker: WorkerView) -> None:
        share = self._shares.pop(worker, None)
        if share is not None:
            if not worker.settles:
                self._over.append(_timeless(share.closed))
            self._settle(share, math.inf, worker.heard)

    def state(self, now: float) -> HistogramState:
        self._merge()
        merged = self._merged = closed_by(self._merged, now)
        closed = [merged.closed, *[share.closed for worker, share in self._shares.items() if not worker.settles]]
        running = []
        for start, each in self._running.items():
            values = self._values(start, each)
            if start <= now:
                running.append(Slice(start, each.end, values))
            else:
                closed.append(values)  # from the future, so the clock of its worker is unknown
        return gathered(closed, merged.closed_through, [*merged.slices, *running])

    def merged(self) -> HistogramState:
        self._merge()
        return self._merged

    def share(self, worker: WorkerView) -> HistogramState:
        share = self._shares[worker]
        slices = tuple([share.slices[start] for start in sorted(share.slices)])
        return HistogramState(share.closed, share.through, slices)

    def restore(self, merged: HistogramState) -> None:
        self._merged = merged

    def restore_share(self, worker: WorkerView, share: HistogramState) -> None:
        restored = self._new_share(worker, share.closed, share.closed_through)
        for part in share.slices:
            self._replace_slice(restored, part.start, part)

    def _new_share(self, worker: WorkerView, closed: Distribution = EMPTY, through: float = NEVER) -> _Share:
        share = self._shares[worker] = _Share(worker.shift, self._joined, closed, through)
        self._joined += 1
        return share

    def _replace(self, share: _Share, update: HistogramUpdate) -> None:
        """Take in the update of an aggregator. All of it may be replaced, so nothing is merged."""
        if update.is_full:
            share.closed = EMPTY
        closed = self._drop(share, update.through)
        if update.closed is not None:
            share.closed = update.closed
        else:
            share.closed = union([share.closed, *[part.values for part in closed]])
        share.through = update.through
        for part in update.slices:
            self._replace_slice(share, part.start, part)

    def _replace_slice(self, share: _Share, start: float, new: Optional[Slice]) -> Optional[Slice]:
        """Replace the slice with this start by `new`, or remove it if that is None. Return the old one."""
        old = share.slices.pop(start, None)
        if new is not None:
            share.slices[start] = new
        before = old.values if old is not None and old.values.count else None
        values = new.values if new is not None and new.values.count else None
        if before is not None or values is not None:
            here = _here(start, share.shift)
            running = self._running.get(here)
            if running is None:
                running = self._running[here] = _Running((values or EMPTY).mean)
            # A share without a shift may have several slices with the same start, so it is a group by itself.
            group = -share.number - 1 if share.shift is None else share.number // TOGETHER
            running.replace(before, values, group)
            if new is not None:
                running.end = max(running.end, _here(new.end, share.shift))
            if not running.count:
                del self._running[here]
        return old

    def _values(self, start: float, running: _Running) -> Distribution:
        values = None if running.unsure else running.values()
        if values is not None:
            return values
        parts = [
            part.values
            for share in self._shares.values()
            for part in share.slices.values()
            if part.values.count and _here(part.start, share.shift) == start
        ]
        running.be_sure(parts)
        return running.values() or union(parts)

    def _drop(self, share: _Share, through: float) -> List[Slice]:
        """Remove and return the slices of a worker that start at `through` or before."""
        dropped = [
            self._replace_slice(share, start, None) for start in [each for each in share.slices if each <= through]
        ]
        return [part for part in dropped if part is not None]

    def _over_by(self, known: float) -> float:
        """Return the last start of a settled slice of a worker, if everything of it is `known` up to this time."""
        return known - SLOT - self._delay

    def _settle(self, share: _Share, through: float, heard: float, final: Sequence[Slice] = ()) -> None:
        """Settle the slices of a worker that start at `through` or before, and the new ones in `final`."""
        over = [*self._drop(share, through), *final]
        if over:
            share.closed = union([share.closed, *[part.values for part in over]])
            share.through = max([share.through, *[part.start for part in over]])
            self._over += [_shifted(part, share.shift, heard) for part in over]
            if len(self._over) > _MANY:
                self._merge()

    def _merge(self) -> None:
        if self._over:
            merged = self._merged
            over, self._over = self._over, []
            merged = gathered([merged.closed], merged.closed_through, [*merged.slices, *over])
            self._merged = closed_by(merged, max([part.end for part in merged.slices], default=NEVER))


def _here(time: float, shift: Optional[float]) -> float:
    """Return a worker's time by the clock here; NEVER if the shift is unknown."""
    return NEVER if shift is None else time + shift


def _shifted(part: Slice, shift: Optional[float], heard: float) -> Slice:
    """Return a slice by the clock here, of a worker that was last heard at `heard`."""
    if shift is None or part.start + shift > heard:
        return _timeless(part.values)
    if shift == 0 and part.end <= heard:
        return part
    return Slice(part.start + shift, min(part.end + shift, heard), part.values)


def _timeless(values: Distribution) -> Slice:
    """Return values recorded at an unknown time, as a slice that is closed from the start."""
    return Slice(NEVER, NEVER, values)


class TimerPool(Pool[TimerState, "TimerUpdate"]):
    """The pool of a timer: one for its events and one for their durations."""

    def __init__(self) -> None:
        self._events = StatePool(METER)
        self._durations = HistogramPool()

    def workers(self) -> List[WorkerView]:
        return self._events.workers()

    def take(self, worker: WorkerView, update: TimerUpdate) -> None:
        self._events.take(worker, update.events)
        self._durations.take(worker, update.durations)

    def shift_changed(self, worker: WorkerView) -> None:
        self._durations.shift_changed(worker)

    def settle(self, worker: WorkerView) -> None:
        self._durations.settle(worker)

    def retire(self, worker: WorkerView) -> None:
        self._events.retire(worker)
        self._durations.retire(worker)

    def state(self, now: float) -> TimerState:
        return TimerState(self._events.state(now), self._durations.state(now))

    def merged(self) -> TimerState:
        return TimerState(self._events.merged(), self._durations.merged())

    def share(self, worker: WorkerView) -> TimerState:
        return TimerState(self._events.share(worker), self._durations.share(worker))

    def restore(self, merged: TimerState) -> None:
        self._events.restore(merged.events)
        self._durations.restore(merged.durations)

    def restore_share(self, worker: WorkerView, share: TimerState) -> None:
        self._events.restore_share(worker, share.events)
        self._durations.restore_share(worker, share.durations)
