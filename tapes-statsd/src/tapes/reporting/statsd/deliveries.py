"""What a StatsD has been told of each counter, so that it is told every change once.

It is kept by registry and destination and not by reporter. A reporter that is stopped and made anew, by another
configuration for instance, goes on where the one before was, and two that report to the same place share what there is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Dict, Hashable, Iterable, List, NamedTuple, Tuple, Union, overload

from tapes.kinds.kind import kind_named

if TYPE_CHECKING:
    from tapes.snapshot import Reading

Counts = Tuple[float, float]
"""What a counter had counted at one moment: what was added, and what was taken away. A plain tuple, see `Changes`."""


class Change(NamedTuple):
    """What a counter has counted since its destination was told of it."""

    place: int
    """That of the counter among the readings."""
    origin: object
    """What these were readings of."""
    before: Counts
    after: Counts

    @property
    def value(self) -> float:
        """What the counter has changed by."""
        return _between(self.before, self.after)


class Changes(Sequence[Change]):
    """Changes that are made when they are asked for.

    What they are made of is kept in lists, and so is what was told, as plain numbers: of many thousands of objects that
    live for as long as a report CPython would take notice, see `tapes.recording.buffer.Numbers`.
    """

    def __init__(self) -> None:
        self._places: List[int] = []
        self._origins: List[object] = []
        self._befores: List[Counts] = []
        self._afters: List[Counts] = []

    def append(self, place: int, origin: object, before: Counts, after: Counts) -> None:
        """Put in a change."""
        self._places.append(place)
        self._origins.append(origin)
        self._befores.append(before)
        self._afters.append(after)

    def clear(self) -> None:
        """Take out all of them."""
        for each in (self._places, self._origins, self._befores, self._afters):
            each.clear()

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, number: int) -> Change: ...

    @overload
    def __getitem__(self, number: slice) -> Changes: ...

    def __getitem__(self, number: Union[int, slice]) -> Union[Change, Changes]:
        if isinstance(number, slice):
            part = Changes()
            for each in range(*number.indices(len(self))):
                part.append(*self[each])
            return part
        return Change(self._places[number], self._origins[number], self._befores[number], self._afters[number])


_NOTHING: Counts = (0, 0)

_ROUNDING = 1e-9
"""By how much of itself a sum of floats may differ at the most when the same numbers are added up in another order, as
they are when a worker leaves an aggregator."""


class Deliveries:
    """What one destination has been told of the counters of one registry. To be used with `lock` held."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Held from the look at the changes until they have been delivered, so that nobody else sends the same."""
        self.number = 0
        """That of the newest snapshot that was told."""
        self._told: Dict[object, Counts] = {}  # by the origin, which is another one once a counter was made again

    def changes(self, readings: Iterable[Reading]) -> Changes:
        """Return what is to be told: a change for each of these readings that is of a counter and has one.

        Counters that are not among them any more are forgotten.
        """
        now_told: Dict[object, Counts] = {}
        found = Changes()
        for place, reading in enumerate(readings):
            kind = kind_named(reading.kind)
            if kind is None or not kind.adds_up:
                continue
            origin = reading.origin
            after = kind.counts(reading.state)
            before = self._told.get(origin, _NOTHING)
            if _has_fallen(before[0], after[0]) or _has_fallen(before[1], after[1]):
                before = _NOTHING  # it has begun anew: both only grow
            else:
                after = max(before[0], after[0]), max(before[1], after[1])
            now_told[origin] = before
            if _between(before, after):
                found.append(place, origin, before, after)
        self._told = now_told
        return found

    def delivered(self, change: Change) -> None:
        """Take note that the destination has been told of a change."""
        self._told[change.origin] = change.after

    def take_back(self, changes: Iterable[Change]) -> None:
        """Take note that the destination was not told of these after all."""
        for _, origin, before, after in changes:
            told = self._told.get(origin)
            if told is None:
                continue
            if told != after:  # another reporter has told it of more since
                before = told[0] - (after[0] - before[0]), told[1] - (after[1] - before[1])
            self._told[origin] = before


def _has_fallen(before: float, after: float) -> bool:
    """Whether a sum is less than it was, and not only rounded in another way."""
    return after < before * (1 - _ROUNDING)


def _between(before: Counts, after: Counts) -> float:
    return (after[0] - before[0]) - (after[1] - before[1])


def deliveries(notes: Dict[Hashable, Any], destination: Hashable) -> Deliveries:
    """Return what `destination` has been told by this process of the registry with these notes. From any thread.

    A forked child has told nothing, since all counters begin at zero there, and neither has an isolated registry: its
    notes are others.
    """
    told: Deliveries = notes.setdefault(("statsd", os.getpid(), destination), Deliveries())
    return told
