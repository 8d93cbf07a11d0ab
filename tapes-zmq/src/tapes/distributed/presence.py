"""Whether a worker is gone that is not heard of: by its process where that can be seen, and else by its silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from tapes.distributed.processes import is_alive, machine, processes
from tapes.distributed.records import Hello

if TYPE_CHECKING:
    from tapes.distributed.workers import Worker

LEASE = 10.0
"""Seconds after which the gauges of a worker that is not heard of any more do not count, unless told otherwise."""

UNKNOWN = Hello("an unknown host", "", "", 0, 0, 1.0, settles=True)
"""What is known of a worker that has not said who it is."""

_FLUSHES = 3  # that a worker may miss before it is taken to be silent, however seldom it publishes
_LAST_WORDS = 2.0  # seconds in which what a process has sent before it died may still be on its way
_SILENT = 60.0  # seconds beyond its lease after which one is taken to be gone of which nobody knows whether it lives
_SILENT_FAR = 3600.0  # likewise, on another machine: a network may have failed, and swallowed what it has sent
_SILENT_MIDWAY = 3600.0  # likewise, if it was telling everything anew: no position says what is known of it then
_SILENT_HOST = 86400.0  # seconds after which another aggregator is


class Presence:
    """Judges by how long a worker has been silent, and by its process where that can be seen."""

    def __init__(self, lease: float, system: Optional[str] = None) -> None:
        """Give each worker a `lease` of so many seconds. `system` is the running one that this is, or was."""
        self._lease = lease
        self.machine, self._processes = system or machine(), processes()

    def lease_of(self, worker: Worker) -> float:
        """Return for how many seconds nothing need be heard of a worker."""
        return max(self._lease, _FLUSHES * worker.hello.interval)

    def is_gone(self, worker: Worker, silent: float) -> bool:
        """Whether a worker that has been silent for so many seconds is never heard again, as far as can be known."""
        hello = worker.hello
        if not hello.settles:
            return silent > _SILENT_HOST  # another aggregator that comes in its place goes on with what it has told
        if silent <= _LAST_WORDS:
            return False
        alive = self.is_alive(hello)
        if alive is not None:
            return not alive
        longest = _SILENT if hello.machine == self.machine else _SILENT_FAR
        return worker.ended or silent > self.lease_of(worker) + (_SILENT_MIDWAY if worker.unclaimed else longest)

    def is_near(self, hello: Hello) -> bool:
        """Whether it can be looked up here whether a process lives."""
        return bool(hello.processes) and (hello.machine, hello.processes) == (self.machine, self._processes)

    def is_alive(self, hello: Hello) -> Optional[bool]:
        """Whether the process of a worker has not ended; None if that is not known."""
        return is_alive(hello.pid, hello.started) if self.is_near(hello) else None
