"""The counts that each StatsD already has, so that every change is sent once.

They are kept by registry and destination, not by reporter. So a reporter that replaces another, in a new configuration
for instance, continues where that one stopped, and two reporters to the same destination share the changes.
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
"""What a counter had counted at one moment: the sums of increments and of decrements. A plain tuple: see `Changes`."""


class Change(NamedTuple):
    """What a counter has counted since it was last delivered."""

    place: int
    """The place of the counter among the readings."""
    origin: object
    """The metric that was read."""
    before: Counts
    after: Counts

    @property
    def value(self) -> float:
        """By how much the counter has changed."""
        return _between(self.before, self.after)


class Changes(Sequence[Change]):
    """A sequence of changes, each of which is created when it is looked at.

    It keeps lists of plain numbers: many thousands of objects that live as long as a report would make CPython collect
    garbage, see `tapes.recording.buffer.Numbers`.
    """

    def __init__(self) -> None:
        self._places: List[int] = []
        self._origins: List[object] = []
        self._befores: List[Counts] = []
        self._afters: List[Counts] = []

    def append(self, place: int, origin: object, before: Counts, after: Counts) -> None:
        """Add a change."""
        self._places.append(place)
        self._origins.append(origin)
        self._befores.append(before)
        self._afters.append(after)

    def clear(self) -> None:
        """Remove all changes."""
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
    """The counts of one registry that one destination has. Use it with `lock` held."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Held from reading the changes until they are delivered, so that no other reporter sends the same."""
        self.number = 0
        """The number of the newest snapshot that was sent."""
        self._counts: Dict[object, Counts] = {}  # by origin; a counter that is created again has another origin

    def changes(self, readings: Iterable[Reading]) -> Changes:
        """Return the changes to send: one for each reading of a counter that has changed.

        Forgets counters that are not among the readings.
        """
        new_counts: Dict[object, Counts] = {}
        found = Changes()
        for place, reading in enumerate(readings):
            kind = kind_named(reading.kind)
            if kind is None or not kind.adds_up:
                continue
            origin = reading.origin
            after = kind.counts(reading.state)
            before = self._counts.get(origin, _NOTHING)
            if _has_fallen(before[0], after[0]) or _has_fallen(before[1], after[1]):
                before = _NOTHING  # it has begun anew: both only grow
            else:
                after = max(before[0], after[0]), max(before[1], after[1])
            new_counts[origin] = before
            if _between(before, after):
                found.append(place, origin, before, after)
        self._counts = new_counts
        return found

    def delivered(self, change: Change) -> None:
        """Note that a change was delivered."""
        self._counts[change.origin] = change.after

    def take_back(self, changes: Iterable[Change]) -> None:
        """Note that these changes were not delivered after all."""
        for _, origin, before, after in changes:
            counts = self._counts.get(origin)
            if counts is None:
                continue
            if counts != after:  # another reporter has delivered more since
                before = counts[0] - (after[0] - before[0]), counts[1] - (after[1] - before[1])
            self._counts[origin] = before


def _has_fallen(before: float, after: float) -> bool:
    """Whether a sum is less than it was, and not only rounded in another way."""
    return after < before * (1 - _ROUNDING)


def _between(before: Counts, after: Counts) -> float:
    return (after[0] - before[0]) - (after[1] - before[1])


def deliveries(notes: Dict[Hashable, Any], destination: Hashable) -> Deliveries:
    """Return what this process has delivered to `destination`, for the registry with these notes. Thread-safe.

    A forked child has delivered nothing, as all its counters begin at zero. Neither has an isolated registry, which has
    its own notes.
    """
    known: Deliveries = notes.setdefault(("statsd", os.getpid(), destination), Deliveries())
    return known
