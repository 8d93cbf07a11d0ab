"""This process as an instance of its service: its identity, and when its series have started."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any, Dict
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from tapes.snapshot import Reading


class Instance:
    """One process. All senders in it share it, so that nothing counts twice when one takes the place of another."""

    def __init__(self, now: float) -> None:
        """Start at the time `now`, in seconds since the epoch."""
        self.id = str(uuid.uuid4())
        """The value of `service.instance.id`, unless a user gives another."""
        self._seen = now
        self._before = now
        self._starts: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def see(self, taken_at: float) -> None:
        """Go on to a snapshot. Series that it is the first to have started after the snapshot before."""
        self._before, self._seen = self._seen, max(self._seen, taken_at)

    def start_of(self, reading: Reading) -> int:
        """Return when a series has started, as far as snapshots tell, in nanoseconds since the epoch."""
        start = round(self._before * 1e9)
        return start if reading.origin is None else self._starts.setdefault(reading.origin, start)


_instances: Dict[int, Instance] = {}


def of_process(now: float) -> Instance:
    """Return this process. A forked child is another one, which starts now."""
    return _instances.setdefault(os.getpid(), Instance(now))
