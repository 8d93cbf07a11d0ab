"""A reporter that keeps what it reports."""

# ruff: noqa: TC001, TC003 -- the annotations of constructors are evaluated, by tapes.config for one

from __future__ import annotations

from datetime import timedelta
from typing import Any, List, Optional, Union

from tapes.clock import Clock
from tapes.encoding.tree import tree
from tapes.registry import Registry
from tapes.reporting import ScheduledReporter
from tapes.snapshot import Snapshot


class MemoryReporter(ScheduledReporter):
    """Appends each snapshot to `snapshots`, to be looked at by a test. For ever: it is not for production."""

    def __init__(
        self,
        interval: Union[timedelta, float] = 10.0,
        registry: Optional[Registry] = None,
        *,
        clock: Optional[Clock] = None,
    ) -> None:
        """Keep what `registry` (by default the process-wide one) holds every `interval`, a timedelta or seconds.

        Raises ReporterOptionError for a wrong interval.
        """
        super().__init__(interval, registry, clock=clock)
        self.snapshots: List[Snapshot] = []
        """What has been reported, in order. Kept over starts and stops; may be cleared."""

    def report(self) -> None:
        """Keep a snapshot."""
        self.snapshots.append(self.registry.snapshot())

    @property
    def stats(self) -> List[Any]:
        """What has been reported, in order, as the trees that `get_stats()` returns."""
        return [tree(snapshot) for snapshot in self.snapshots]
