"""What a StatsD has been told of each counter, so that it is told every change once.

It is kept by registry and destination and not by reporter. A reporter that is stopped and made anew, by another
configuration for instance, goes on where the one before was, and two that report to the same place share what there is.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Dict, Hashable, Iterable, List, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from tapes.naming import Tags
    from tapes.registry import Registry
    from tapes.snapshot import Reading

Series = Tuple[str, "Tags"]


class Counts(NamedTuple):
    """What a counter had counted at one moment."""

    increments: float
    decrements: float


class Change(NamedTuple):
    """What a counter has counted since its destination was told of it."""

    series: Series
    origin: object
    before: Counts
    after: Counts

    @property
    def value(self) -> float:
        """What the counter has changed by."""
        before, after = self.before, self.after
        return (after.increments - before.increments) - (after.decrements - before.decrements)


class _Told(NamedTuple):
    origin: object
    counts: Counts


_NOTHING = Counts(0, 0)


class Deliveries:
    """What one destination has been told of the counters of one registry. To be used with `lock` held."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Held from the look at the changes until they have been delivered, so that nobody else sends the same."""
        self._told: Dict[Series, _Told] = {}

    def changes(self, readings: Iterable[Reading]) -> List[Change]:
        """Return what is to be told: a change for each of these readings of counters that has one.

        Counters that are not among them any more are forgotten.
        """
        now_told: Dict[Series, _Told] = {}
        found = []
        for reading in readings:
            series = reading.name, reading.tags
            counts = Counts(reading.state.increments, reading.state.decrements)
            told = self._told.get(series)
            if told is None or told.origin is not reading.origin or _less(counts, told.counts):
                told = _Told(reading.origin, _NOTHING)
            now_told[series] = told
            change = Change(series, told.origin, told.counts, counts)
            if change.value:
                found.append(change)
        self._told = now_told
        return found

    def delivered(self, change: Change) -> None:
        """Take note that the destination has been told of a change."""
        self._told[change.series] = _Told(change.origin, change.after)

    def take_back(self, changes: Iterable[Change]) -> None:
        """Take note that the destination was not told of these after all."""
        for change in changes:
            told = self._told.get(change.series)
            if told is None or told.origin is not change.origin:
                continue
            if told.counts == change.after:
                counts = change.before
            else:  # another reporter has told it of more since
                counts = Counts(
                    told.counts.increments - (change.after.increments - change.before.increments),
                    told.counts.decrements - (change.after.decrements - change.before.decrements),
                )
            self._told[change.series] = _Told(told.origin, counts)


def _less(counts: Counts, others: Counts) -> bool:
    """Whether a counter has begun anew in between: both of its counts only grow."""
    return counts.increments < others.increments or counts.decrements < others.decrements


def deliveries(registry: Registry, destination: Hashable) -> Optional[Deliveries]:
    """Return what `destination` has been told of `registry` by this process. Safe to call from any thread.

    A forked child has told nothing, since all counters begin at zero there, and neither has an isolated registry. None
    while an isolation is beginning or ending.
    """
    notes = registry.notes
    return None if notes is None else notes.setdefault(("statsd", os.getpid(), destination), Deliveries())
