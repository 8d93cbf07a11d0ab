"""Decides whether a silent worker is gone: by its process if that is visible here, otherwise by its silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from tapes.distributed.processes import is_alive, machine, processes
from tapes.distributed.records import Hello

if TYPE_CHECKING:
    from tapes.distributed.workers import Worker

LEASE = 10.0
"""The default seconds of silence after which the gauges of a worker no longer count."""

UNKNOWN = Hello("an unknown host", "", "", 0, 0, 1.0, settles=True)
"""Stands for the hello of a worker that has not sent one."""

_FLUSHES = 3  # flushes that a worker may miss before it counts as silent, however long its interval
_LAST_WORDS = 2.0  # seconds in which frames of a dead process may still arrive
# Seconds of silence beyond its lease after which a worker whose process is not visible here counts as gone.
_SILENT = 60.0
_SILENT_FAR = 3600.0  # the same on another machine, as the network may have failed, and lost its frames
_SILENT_MIDWAY = 3600.0  # the same within the first flush of a session, when no position says what is known of it
_SILENT_HOST = 86400.0  # seconds of silence after which an aggregator that publishes counts as gone


class Presence:
    """Judges by how long a worker has been silent, and by its process if that is visible here."""

    def __init__(self, lease: float, system: Optional[str] = None) -> None:
        """Give each worker a `lease`, in seconds. `system` names the running system (default: this one)."""
        self.lease = lease
        """The lease in seconds, for workers that announce no longer interval."""
        self.machine, self._processes = system or machine(), processes()

    def lease_of(self, worker: Worker) -> float:
        """Return for how many seconds a worker may be silent."""
        return max(self.lease, _FLUSHES * worker.hello.interval)

    def is_gone(self, worker: Worker, silent: float) -> bool:
        """Whether a worker that has been silent for `silent` seconds is gone, as far as can be known."""
        hello = worker.hello
        if not hello.settles:
            return silent > _SILENT_HOST  # a successor goes on under its identity
        if silent <= _LAST_WORDS:
            return False
        alive = self.is_alive(hello)
        if alive is not None:
            return not alive
        longest = _SILENT if hello.machine == self.machine else _SILENT_FAR
        return worker.ended or silent > self.lease_of(worker) + (_SILENT_MIDWAY if worker.unclaimed else longest)

    def is_near(self, hello: Hello) -> bool:
        """Whether the process of this hello is visible here."""
        return bool(hello.processes) and (hello.machine, hello.processes) == (self.machine, self._processes)

    def is_alive(self, hello: Hello) -> Optional[bool]:
        """Whether the process of a worker is alive; None if unknown."""
        return is_alive(hello.pid, hello.started) if self.is_near(hello) else None
